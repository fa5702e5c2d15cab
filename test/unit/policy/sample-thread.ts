// The program of a thread that reads policies with the plugins of these tests.
import { readInThisThread } from "../../../src/policy/reading-thread.ts";
import { samplePlugins } from "./sample.ts";

void readInThisThread(samplePlugins);

// The program of the thread that reads large policies; in the image a file of its own beside the sidecar's.
import { readInThisThread } from "../policy/reading-thread.ts";
import { registry } from "./registry.ts";

void readInThisThread(Object.fromEntries(registry.map((plugin) => [plugin.name, plugin])));

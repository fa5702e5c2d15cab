// The program of the thread that reads large policies. In the image it is a file of its own beside the sidecar's.
import { readInThisThread } from "../policy/reading-thread.ts";
import { registry } from "./registry.ts";

void readInThisThread(Object.fromEntries(registry.map((plugin) => [plugin.name, plugin])));

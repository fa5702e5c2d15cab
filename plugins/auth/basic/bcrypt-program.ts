// The program of the thread that checks bcrypt hashes. In the bundle it is a file of its own beside the sidecar's.
import { isMainThread, parentPort } from "node:worker_threads";
import { compareSync } from "bcryptjs";
import type { BcryptTask } from "./bcrypt-thread.ts";

if (isMainThread || parentPort === null) throw new Error("this is for a thread");
const port = parentPort;
port.on("message", ({ password, hash }: BcryptTask) => {
  port.postMessage(compareSync(password, hash), []);
});

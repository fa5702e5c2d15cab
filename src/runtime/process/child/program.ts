// Runs a plugin's process: the program takes a bundle from the sidecar over its only socket, runs it and answers. It
// ends with the socket, whatever happens to the sidecar. In the image it is a file of its own beside the sidecar's.
import { Socket } from "node:net";
import * as contract from "../../../plugin-api/contract.ts";
import { FrameReader, FrameWriter } from "../frames.ts";
import type { ToProcess } from "../protocol.ts";
import { Session } from "./session.ts";
import { shutProcess } from "./shut.ts";

const exit = (process as unknown as { reallyExit(code: number): never }).reallyExit.bind(process);
// The sidecar ends this process after draining. A signal to the whole process group must not end it earlier.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => {});

const socket = new Socket({ fd: 3, readable: true, writable: true });
const session = new Session(new FrameWriter(socket), contract);
process.on("uncaughtException", (error) => session.fault(error));
process.on("unhandledRejection", (error) => session.fault(error));
shutProcess();

// These limits are high because the sender is the sidecar, which is trusted.
const reader = new FrameReader({ messageBytes: 67_108_864, blobBytes: 67_108_864 }, (messages, blobs) => {
  for (const message of messages) session.take(message as ToProcess, blobs);
});
socket.on("data", (chunk: Buffer) => reader.push(chunk));
socket.on("error", () => exit(0));
socket.on("close", () => exit(0));
session.begin();

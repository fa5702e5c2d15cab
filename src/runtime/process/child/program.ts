// The program of a plugin's process: it takes a bundle from the sidecar by its one socket, runs it, and answers. It ends
// with the socket, whatever becomes of the sidecar. In the image a file of its own beside the sidecar's.
import { Socket } from "node:net";
import * as contract from "../../../plugin-api/contract.ts";
import { FrameReader, FrameWriter } from "../frames.ts";
import type { ToProcess } from "../protocol.ts";
import { Session } from "./session.ts";
import { shutProcess } from "./shut.ts";

const exit = (process as unknown as { reallyExit(code: number): never }).reallyExit.bind(process);
// The sidecar ends it when it has drained: a signal to the whole group is not for it.
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => {});

const socket = new Socket({ fd: 3, readable: true, writable: true });
const session = new Session(new FrameWriter(socket), contract);
process.on("uncaughtException", (error) => session.fault(error));
process.on("unhandledRejection", (error) => session.fault(error));
shutProcess();

// It is the sidecar that speaks here.
const reader = new FrameReader({ messageBytes: 67_108_864, blobBytes: 67_108_864 }, (messages, blobs) => {
  for (const message of messages) session.take(message as ToProcess, blobs);
});
socket.on("data", (chunk: Buffer) => reader.push(chunk));
socket.on("error", () => exit(0));
socket.on("close", () => exit(0));
session.begin();

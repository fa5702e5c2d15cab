// Runs a guest in its thread. The program answers each call with a message of its own, so that no answer is lost when a
// later call never ends.
import type { MessagePort } from "node:worker_threads";
import type { GuestAnswer } from "./guest-host.ts";
import { shimText } from "./shim-text.ts";

/** Hook, context, number, text, more: as `Guest.call` has them. */
export type ThreadCall = readonly [number, number, number, string, string];

export interface ThreadTask {
  readonly module: Uint8Array;
  readonly facts: string;
  readonly key: string;
  /** Shared with the parent thread: when the running call began, by `monoMs`; 0 = no call runs. */
  readonly began: Float64Array;
}

interface Shim {
  readonly started: GuestAnswer;
  invoke(...call: ThreadCall): GuestAnswer;
}

/** @returns milliseconds on the clock that all threads of a process share */
export function monoMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}

/** Runs as text, so it may use only its parameters. */
function serveGuest(
  port: MessagePort,
  { module, facts, key, began }: ThreadTask,
  load: (module: Uint8Array, facts: string, key: string) => Shim,
  now: typeof monoMs,
): void {
  began[0] = now();
  const shim = load(module, facts, key);
  began[0] = 0;
  port.postMessage(shim.started, []);
  port.on("message", (calls: readonly ThreadCall[]) => {
    for (const call of calls) {
      began[0] = now();
      const answer = shim.invoke(...call);
      began[0] = 0;
      port.postMessage(answer, []);
      // The guest failed: the calls after this one go to its successor.
      if (typeof answer === "string" && answer.startsWith("!")) break;
    }
  });
}

export const threadProgram = `"use strict";
const { parentPort, workerData } = require("node:worker_threads");
const load = (module, facts, key) => {
${shimText}
return { started, invoke };
};
(${String(serveGuest)})(parentPort, workerData, load, (${String(monoMs)}));
`;

// What a guest's thread runs: the calls as they come, each answered by a message of its own, so that what was answered
// before a call that never ends is not lost.
import type { MessagePort } from "node:worker_threads";
import type { GuestAnswer } from "./guest-host.ts";
import { shimText } from "./shim-text.ts";

/** Hook, context, number, text, more: as `Guest.call` has them. */
export type ThreadCall = readonly [number, number, number, string, string];

export interface ThreadTask {
  readonly module: Uint8Array;
  readonly facts: string;
  readonly key: string;
  /** Shared with the thread above: when the call that runs began, by `monoMs`; 0 = none runs. */
  readonly began: Float64Array;
}

interface Shim {
  readonly started: GuestAnswer;
  invoke(...call: ThreadCall): GuestAnswer;
}

/** Milliseconds on the clock that all threads of a process have in common. */
export function monoMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}

/** Runs as text: it uses nothing but what it is given. */
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
      // It failed: the calls behind this one are for the guest in its place.
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

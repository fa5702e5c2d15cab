// Describes a contender, and waits until it answers.
import { get } from "node:http";
import type { Cores } from "./machine.ts";
import type { Callers } from "./policies.ts";
import { pause, type Started } from "./processes.ts";

export interface Contender {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  /** Its last output before it ended by itself; undefined while it runs. */
  lastWords(): string | undefined;
  stop(): Promise<void>;
}

export interface Scene {
  readonly upstreamPort: number;
  readonly cores: Cores;
  readonly callers: Callers;
  /** Command that starts a sidecar, from the project's folder. */
  readonly command: string;
  /** Folder in which sidecars write their CPU profiles. */
  readonly profileFolder: string | undefined;
}

/** Thrown for a contender that this machine or this version does not have. */
export class LeftOut extends Error {}

/** Sends a request every few milliseconds until the answer is 200. */
export async function untilAnswering(port: number, path: string, started: Started): Promise<void> {
  let ended: Error | undefined;
  started.end.catch((error: unknown) => (ended = error as Error));
  for (const limit = Date.now() + 20_000; Date.now() < limit; await pause(3)) {
    if (ended !== undefined) throw ended;
    if (await answers200(port, path)) return;
  }
  throw new Error(`no answer from port ${port} within 20 s`);
}

function answers200(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    get({ port, path, host: "127.0.0.1", agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    }).on("error", () => resolve(false));
  });
}

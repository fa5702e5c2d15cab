// What has to hold once the traffic is over: nothing is left, nothing is lost, and every answer was logged once.
import { readdirSync } from "node:fs";
import { openLiveHeap } from "../../bench/live-heap.ts";
import type { TestCrew } from "../../support/crew.ts";
import { eventually } from "../../support/redis.ts";
import { type Ledger, settles } from "./ledger.ts";

/** Stands in place of what the sidecar had before the traffic. */
export interface Before {
  readonly descriptors: number;
  readonly liveMiB: number;
}

/** Compiled code, caches at their bounds, and series of metrics; a leak of each request takes more in a minute. */
const mayKeepMiB = 24;
const settleMs = 30_000;
const drainMs = 20_000;
/** Refused before there was an id that the client would know. */
const refusals = new Set([400, 408, 431]);

export async function measure(crew: TestCrew, inspector: number): Promise<Before> {
  const descriptors = readdirSync(`/proc/${crew.child.pid}/fd`).length;
  const list = await fetch(`http://127.0.0.1:${inspector}/json/list`);
  const [target] = (await list.json()) as { webSocketDebuggerUrl: string }[];
  const heap = await openLiveHeap(target?.webSocketDebuggerUrl ?? "");
  const liveMiB = await heap.mebibytes();
  heap.close();
  return { descriptors, liveMiB };
}

const gaugesAtRest = ["active", "queued", "upgraded", "idle"];

/** Waits until nothing is in flight. What does not come to rest is a fault. */
export async function comesToRest(crew: TestCrew, before: Before, ledger: Ledger): Promise<void> {
  const left = async (): Promise<string[]> => {
    const lines = (await (await fetch(`${crew.adminUrl}/metrics`)).text()).split("\n");
    const busy = lines.filter(
      (line) =>
        gaugesAtRest.some((state) => line.includes(`state="${state}"`)) &&
        line.startsWith("outrigger_upstream_connections{") &&
        !line.endsWith(" 0"),
    );
    const now = readdirSync(`/proc/${crew.child.pid}/fd`).length;
    return now > before.descriptors ? [...busy, `${now} descriptors, ${before.descriptors} before`] : busy;
  };
  let last: string[] = [];
  const isAtRest = async (): Promise<boolean> => (last = await left()).length === 0;
  await eventually("all is at rest", isAtRest, settleMs).catch(() =>
    ledger.fault("the sidecar does not come to rest", last.join(", ")),
  );
  const faults = await crew.metric("outrigger_faults_total");
  if (faults > 0) ledger.fault("exceptions that nobody caught", String(faults));
}

export function heldMemory(before: Before, after: Before, ledger: Ledger): void {
  const grown = after.liveMiB - before.liveMiB;
  if (grown > mayKeepMiB) ledger.fault("memory is kept", `${grown.toFixed(1)} MiB of live heap`);
}

/** Ends the sidecar with SIGTERM: it has to end itself, in order and in silence. */
export async function drains(crew: TestCrew, ledger: Ledger): Promise<void> {
  const end = crew.stop();
  if (!(await settles(end, drainMs))) {
    ledger.fault("the drain does not end", `not within ${drainMs} ms`);
    crew.child.kill("SIGKILL");
  }
  const { code, signal, stderr } = await end;
  if (code !== 0) ledger.fault("the sidecar did not end with 0", String(signal ?? code));
  // The inspector, which only measures here, says these.
  const said = stderr.split("\n").filter((line) => line !== "" && !/^Debugger |^For help, see/.test(line));
  if (said.length > 0) ledger.fault("something on stderr", said.join("\n"));
}

/** Compares what clients saw with the access log. @returns the number of lines about requests */
export function logBalances(crew: TestCrew, counted: number, ledger: Ledger): number {
  const lines = crew.lines().filter(({ msg }) => msg === "request");
  const logged = new Map<string, number>();
  for (const { requestId, status } of lines) {
    const id = String(requestId);
    if (logged.has(id)) ledger.fault("logged twice", `${id}: ${ledger.asked.get(id)}`);
    logged.set(id, Number(status));
  }
  for (const [id, status] of ledger.answered) {
    const told = `${id}, answered ${status}, logged ${logged.get(id)}: ${ledger.asked.get(id)}`;
    if (!logged.has(id) && !refusals.has(status)) ledger.fault("answered, but not logged", told);
    else if (logged.has(id) && logged.get(id) !== status) ledger.fault("logged with another status", told);
  }
  if (lines.length !== counted) ledger.fault("counted otherwise than logged", `${counted}, ${lines.length}`);
  return lines.length;
}

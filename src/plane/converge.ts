// Waits until every live sidecar that a change concerns says that it has it in force, and says how long that took, who
// refused and who is late. Times are Redis' own, at both ends.
import { setTimeout as wait } from "node:timers/promises";
import type { Store } from "../plugin-api/store.ts";
import { type Member, readFleet, withReceipts } from "./fleet.ts";

export interface Applied {
  /** undefined = the shared policy. */
  readonly service: string | undefined;
  /** "" = deleted. */
  readonly digest: string;
  readonly atMs: number;
}

export interface Refusal {
  readonly service: string;
  readonly instance: string;
  readonly problems: readonly string[];
}

export interface Convergence {
  readonly converged: boolean;
  readonly concerned: number;
  readonly inForce: number;
  /** From the change to in force; null = nobody has it. */
  readonly ms: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  readonly refused: readonly Refusal[];
  /** `service/instance`. */
  readonly late: readonly string[];
  /** Fell silent meanwhile. */
  readonly gone: readonly string[];
}

export interface WaitOptions {
  readonly limitMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (inForce: number, concerned: number) => void;
}

const betweenMs = 100;
/** A sidecar may still be telling of what it refused before: those who refuse are believed after this long. */
const refusedAfterMs = 2_000;

export async function converge(store: Store, applied: Applied, options: WaitOptions): Promise<Convergence> {
  const { limitMs, signal, onProgress } = options;
  const startedMono = performance.now();
  const passed = (): number => performance.now() - startedMono;
  const { members } = await readFleet(store, applied.service);
  let pending: readonly Member[] = members.filter(({ state }) => state === "live");
  const concerned = pending.length;
  const times: number[] = [];
  const gone: Member[] = [];
  for (;;) {
    const waiting: Member[] = [];
    for (const member of await withReceipts(store, pending)) {
      if (member.receipt === null) gone.push(member);
      else if (hasIt(member, applied)) times.push(tookMs(member, applied));
      else waiting.push(member);
    }
    pending = waiting;
    onProgress(times.length, concerned);
    const refusing = pending.every((member) => isRefusing(member, applied)) && passed() > refusedAfterMs;
    if (pending.length === 0 || refusing || passed() > limitMs || signal.aborted) break;
    await wait(betweenMs, undefined, { signal }).catch(() => {});
  }
  return summary(concerned, times, gone, pending, applied);
}

function hasIt({ receipt }: Member, { service, digest }: Applied): boolean {
  const documents = receipt?.documents ?? null;
  if (documents === null) return false;
  return service === undefined ? documents.shared === digest : (documents.layer ?? "") === digest;
}

/** A sidecar of an older version does not say since when: what is known is that it has it by now. */
function tookMs({ receipt, seenAtMs }: Member, { atMs }: Applied): number {
  return Math.max(0, (receipt?.inForceAt ?? seenAtMs) - atMs);
}

function isRefusing({ receipt }: Member, { atMs }: Applied): boolean {
  return receipt !== null && receipt.lastError !== null && (receipt.refusedAt ?? 0) >= atMs;
}

const name = ({ service, instance }: Member): string => `${service}/${instance}`;

function summary(
  concerned: number,
  times: number[],
  gone: readonly Member[],
  pending: readonly Member[],
  applied: Applied,
): Convergence {
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.ceil(times.length * share) - 1] as number;
  const refused = pending.filter((member) => isRefusing(member, applied));
  return {
    converged: pending.length === 0,
    concerned,
    inForce: times.length,
    ms: times.length === 0 ? null : { p50: at(0.5), p99: at(0.99), max: at(1) },
    refused: refused.map(({ service, instance, receipt }) => {
      const { problems = [], first = "" } = receipt?.lastError ?? {};
      return { service, instance, problems: problems.length > 0 ? problems : [first] };
    }),
    late: pending.filter((member) => !refused.includes(member)).map(name),
    gone: gone.map(name),
  };
}

// Waits until every live sidecar that a change concerns says that it has it in force, and says how long that took, who
// refused and who is late. Times are Redis' own, at both ends.
import { setTimeout as wait } from "node:timers/promises";
import { type Store, StoreUnavailable } from "../plugin-api/store.ts";
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
  /** Fell silent, and did not come back: what they serve by nobody can tell. */
  readonly gone: readonly string[];
  /** Ended meanwhile, and said so. */
  readonly left: readonly string[];
  /** Keys in which sidecars should be listed, and something else lies. */
  readonly unreadable: readonly string[];
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
  const { members, unreadable } = await readFleet(store, applied.service);
  let pending: readonly Member[] = members.filter(({ state }) => state === "live");
  const concerned = pending.length;
  const times: number[] = [];
  const left: Member[] = [];
  let seen = false;
  for (;;) {
    // Redis may be away for a moment, but whoever has seen nothing has nothing to tell.
    const looked = await look(store, applied, pending, seen || passed() < limitMs);
    if (looked !== undefined) {
      seen = true;
      times.push(...looked.times);
      left.push(...looked.left);
      pending = looked.waiting;
    }
    onProgress(times.length, concerned);
    const refusing = pending.every((member) => isRefusing(member, applied)) && passed() > refusedAfterMs;
    if (pending.length === 0 || refusing || passed() > limitMs || signal.aborted) break;
    await wait(betweenMs, undefined, { signal }).catch(() => {});
  }
  return summary({ concerned, times, left, pending, unreadable }, applied);
}

interface Looked {
  readonly times: readonly number[];
  readonly waiting: readonly Member[];
  readonly left: readonly Member[];
}

/**
 * @param patient whether Redis may not answer now, which is undefined then
 * Rejects with StoreUnavailable.
 */
async function look(
  store: Store,
  applied: Applied,
  pending: readonly Member[],
  patient: boolean,
): Promise<Looked | undefined> {
  try {
    const read = await withReceipts(store, pending);
    const silent = read.filter(({ receipt }) => receipt === null);
    // Who says goodbye is listed no more; who is cut off, or was killed, is, and may come back.
    const listed = new Set(
      silent.length === 0 ? [] : (await readFleet(store, applied.service)).members.map(name),
    );
    return {
      times: read.filter((each) => hasIt(each, applied)).map((each) => tookMs(each, applied)),
      waiting: read.filter(
        (each) => !hasIt(each, applied) && (each.receipt !== null || listed.has(name(each))),
      ),
      left: silent.filter((each) => !listed.has(name(each))),
    };
  } catch (error) {
    if (patient && error instanceof StoreUnavailable && error.code === undefined) return undefined;
    throw error;
  }
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

const name = ({ service, instance }: Pick<Member, "service" | "instance">): string =>
  `${service}/${instance}`;

interface Outcome extends Pick<Convergence, "concerned" | "unreadable"> {
  readonly times: number[];
  readonly left: readonly Member[];
  readonly pending: readonly Member[];
}

function summary({ concerned, times, left, pending, unreadable }: Outcome, applied: Applied): Convergence {
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.ceil(times.length * share) - 1] as number;
  const refused = pending.filter((member) => isRefusing(member, applied));
  return {
    converged: pending.length === 0 && unreadable.length === 0,
    concerned,
    inForce: times.length,
    ms: times.length === 0 ? null : { p50: at(0.5), p99: at(0.99), max: at(1) },
    refused: refused.map(({ service, instance, receipt }) => {
      const { problems = [], first = "" } = receipt?.lastError ?? {};
      return { service, instance, problems: problems.length > 0 ? problems : [first] };
    }),
    late: pending.filter((each) => each.receipt !== null && !refused.includes(each)).map(name),
    gone: pending.filter(({ receipt }) => receipt === null).map(name),
    left: left.map(name),
    unreadable,
  };
}

// Waits until every live sidecar that a change concerns reports that it has it in force. Then it says how long that
// took, and which sidecars refused or are late. All times are from Redis' clock.
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
  /** Milliseconds from the change until it is in force; null = no sidecar has it. */
  readonly ms: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  readonly refused: readonly Refusal[];
  /** `service/instance`. */
  readonly late: readonly string[];
  /** Names that several live sidecars have: what each of them has in force is unknown. */
  readonly namesakes: readonly string[];
  /** Sidecars that went silent and did not come back: which policy they use is unknown. */
  readonly gone: readonly string[];
  /** Sidecars that shut down meanwhile, and said so. */
  readonly left: readonly string[];
  /** Keys that should list sidecars but hold something else. */
  readonly unreadable: readonly string[];
  /** Why the last look failed: all else is as it was when Redis answered last. null = it succeeded. */
  readonly unanswered: string | null;
}

export interface WaitOptions {
  readonly limitMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (inForce: number, concerned: number) => void;
}

const betweenMs = 100;
/** A sidecar may still report an earlier refusal. Refusals end the wait only after this time. */
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
  const namesakes = new Set<string>();
  let seen = false;
  let unanswered: string | null = null;
  for (;;) {
    // Redis may be away for a moment; but if no look ever succeeds, the error is thrown at the limit.
    const looked = await look(store, applied, { pending, namesakes }, seen || passed() < limitMs);
    unanswered = looked instanceof StoreUnavailable ? looked.message : null;
    if (!(looked instanceof StoreUnavailable)) {
      seen = true;
      times.push(...looked.times);
      left.push(...looked.left);
      pending = looked.waiting;
    }
    onProgress(times.length, concerned);
    const isDecided = (member: Member): boolean => namesakes.has(name(member)) || isRefusing(member, applied);
    const decided = pending.every(isDecided) && passed() > refusedAfterMs;
    if (pending.length === 0 || decided || passed() > limitMs || signal.aborted) break;
    await wait(betweenMs, undefined, { signal }).catch(() => {});
  }
  return summary({ concerned, times, left, pending, namesakes, unreadable, unanswered }, applied);
}

interface Waiting {
  readonly pending: readonly Member[];
  /** Is added to. An older one of two says nothing of the other, so that a name stays here. */
  readonly namesakes: Set<string>;
}

interface Looked {
  readonly times: readonly number[];
  readonly waiting: readonly Member[];
  readonly left: readonly Member[];
}

/**
 * Reads the sidecars' receipts. Rejects with StoreUnavailable.
 * @param patient whether to resolve with the error, not reject, when Redis does not answer
 */
async function look(
  store: Store,
  applied: Applied,
  { pending, namesakes }: Waiting,
  patient: boolean,
): Promise<Looked | StoreUnavailable> {
  try {
    const read = await withReceipts(store, pending);
    for (const each of read) if ((each.receipt?.namesake ?? null) !== null) namesakes.add(name(each));
    const has = (each: Member): boolean => hasIt(each, applied) && !namesakes.has(name(each));
    const silent = read.filter(({ receipt }) => receipt === null);
    // A sidecar that says goodbye is removed from the list. One that is cut off or was killed stays there, and may come
    // back.
    const listed = new Set(
      silent.length === 0 ? [] : (await readFleet(store, applied.service)).members.map(name),
    );
    return {
      times: read.filter(has).map((each) => tookMs(each, applied)),
      waiting: read.filter((each) => !has(each) && (each.receipt !== null || listed.has(name(each)))),
      left: silent.filter((each) => !listed.has(name(each))),
    };
  } catch (error) {
    if (patient && error instanceof StoreUnavailable && error.code === undefined) return error;
    throw error;
  }
}

function hasIt({ receipt }: Member, { service, digest }: Applied): boolean {
  const documents = receipt?.documents ?? null;
  if (documents === null) return false;
  return service === undefined ? documents.shared === digest : (documents.layer ?? "") === digest;
}

/** Sidecars of older versions do not report the time: then the time of their heartbeat counts. */
function tookMs({ receipt, seenAtMs }: Member, { atMs }: Applied): number {
  return Math.max(0, (receipt?.inForceAt ?? seenAtMs) - atMs);
}

function isRefusing({ receipt }: Member, { atMs }: Applied): boolean {
  return receipt !== null && receipt.lastError !== null && (receipt.refusedAt ?? 0) >= atMs;
}

const name = ({ service, instance }: Pick<Member, "service" | "instance">): string =>
  `${service}/${instance}`;

interface Outcome extends Waiting, Pick<Convergence, "concerned" | "unreadable" | "unanswered"> {
  readonly times: number[];
  readonly left: readonly Member[];
}

function summary(outcome: Outcome, applied: Applied): Convergence {
  const { concerned, times, left, pending, namesakes, unreadable, unanswered } = outcome;
  const isUnknown = (member: Member): boolean => namesakes.has(name(member));
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
    late: pending
      .filter((each) => each.receipt !== null && !refused.includes(each) && !isUnknown(each))
      .map(name),
    namesakes: pending.filter(isUnknown).map(name),
    gone: pending.filter(({ receipt }) => receipt === null).map(name),
    left: left.map(name),
    unreadable,
    unanswered,
  };
}

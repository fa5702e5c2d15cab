// What a replay came to: requests that would get another answer, in groups, and those of which nobody can tell.
import type { Replayed } from "./replayed-service.ts";
import type { Decision, RecordedDecision, RecordedRequest } from "./recorded-request.ts";

export interface Group {
  readonly service: string;
  readonly was: RecordedDecision;
  readonly becomes: Decision;
  /** What the lines lack that this answer rests on; empty = it is told. */
  readonly lacks: readonly string[];
  count: number;
  /** Requests by caller: `user u1`, `credential k1`, `address 192.0.2.1`. */
  readonly callers: Map<string, number>;
  /** Ids of the first. */
  readonly requestIds: string[];
}

const maxIds = 3;
/** Of one group; further ones are counted as one. */
const maxCallers = 1_000;
/** Of all groups: who writes lines chooses what is in them. */
const maxAllCallers = 50_000;
const maxGroups = 5_000;
const furtherCallers = "(further callers)";

export class Changes {
  readonly #groups = new Map<string, Group>();
  #callers = 0;
  /** Those that would get another answer, or may, and are of kinds for which there was no place. */
  further = 0;
  /** All that were replayed. */
  count = 0;
  /** Those that would get what they got. */
  same = 0;
  fromMs = Infinity;
  untilMs = -Infinity;
  readonly services = new Set<string>();

  add(request: RecordedRequest, { decision, byCircumstance, lacking }: Replayed): void {
    const { service, atMs, decision: was } = request;
    this.count += 1;
    this.fromMs = Math.min(this.fromMs, atMs);
    this.untilMs = Math.max(this.untilMs, atMs);
    this.services.add(service);
    const unsaid = rests(was, decision);
    if (!unsaid && isSame(was, decision)) {
      this.same += 1;
      return;
    }
    const decider = decision.by ?? was.by ?? "";
    const lacks = [
      ...(byCircumstance ? ["what others would have answered it"] : lacking.of(decider)),
      ...(unsaid ? ["who answered it"] : []),
    ];
    this.#groupOf({ service, was, becomes: decision, lacks }, request);
  }

  /** Largest first. */
  get told(): readonly Group[] {
    return this.#sorted((group) => group.lacks.length === 0);
  }

  get untold(): readonly Group[] {
    return this.#sorted((group) => group.lacks.length > 0);
  }

  #sorted(isWanted: (group: Group) => boolean): readonly Group[] {
    return [...this.#groups.values()].filter(isWanted).toSorted((a, b) => b.count - a.count);
  }

  #groupOf(
    { service, was, becomes, lacks }: Pick<Group, "service" | "was" | "becomes" | "lacks">,
    request: RecordedRequest,
  ): void {
    const key = JSON.stringify([service, was, becomes, lacks]);
    let group = this.#groups.get(key);
    if (group === undefined && this.#groups.size === maxGroups) {
      this.further += 1;
      return;
    }
    if (group === undefined) {
      group = { service, was, becomes, lacks, count: 0, callers: new Map(), requestIds: [] };
      this.#groups.set(key, group);
    }
    group.count += 1;
    if (group.requestIds.length < maxIds && request.id !== "") group.requestIds.push(request.id);
    const caller = callerOf(request);
    const known = group.callers.has(caller);
    const fits = group.callers.size < maxCallers && this.#callers < maxAllCallers;
    if (!known && fits) this.#callers += 1;
    const name = known || fits ? caller : furtherCallers;
    group.callers.set(name, (group.callers.get(name) ?? 0) + 1);
  }
}

const isSame = (was: RecordedDecision, becomes: Decision): boolean =>
  was.by === undefined
    ? was.status === becomes.status
    : was.by === becomes.by && (was.by === null || was.status === becomes.status);

/**
 * Whether it depends on who answered then, where the line does not say: an error that a plugin may have made, and the
 * service is asked now; one that circumstances may have made.
 */
const rests = (was: RecordedDecision, becomes: Decision): boolean =>
  was.by === undefined &&
  (was.status === becomes.status ? was.status >= 400 && becomes.by === null : mayBeCircumstance(was.status));

const mayBeCircumstance = (status: number): boolean => status === 408 || status >= 500;

function callerOf({ userId, credentialId, client }: RecordedRequest): string {
  if (userId !== undefined) return `user ${userId}`;
  return credentialId === undefined ? `address ${client}` : `credential ${credentialId}`;
}

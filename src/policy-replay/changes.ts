// Groups the results of a replay: requests that would get another answer, and requests whose answer is unknown.
import type { Replayed } from "./replayed-service.ts";
import type { Decision, RecordedDecision, RecordedRequest } from "./recorded-request.ts";

export interface Group {
  readonly service: string;
  readonly was: RecordedDecision;
  readonly becomes: Decision;
  /** Facts that decide the answer and that the lines lack; empty = the answer is certain. */
  readonly lacks: readonly string[];
  count: number;
  /** Requests by caller: `user u1`, `credential k1`, `address 192.0.2.1`. */
  readonly callers: Map<string, number>;
  /** Ids of the first requests. */
  readonly requestIds: string[];
}

const maxIds = 3;
/** Most callers of one group; further ones are counted as one. */
const maxCallers = 1_000;
/** Most callers of all groups: the content of the lines is not trusted. */
const maxAllCallers = 50_000;
const maxGroups = 5_000;
const furtherCallers = "(further callers)";

export class Changes {
  readonly #groups = new Map<string, Group>();
  #callers = 0;
  /** Requests whose answer changes or may change, but whose group did not fit. */
  further = 0;
  /** Number of replayed requests. */
  count = 0;
  /** Number of requests with the same answer. */
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

  /** Groups with a certain answer, largest first. */
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
 * Whether the change depends on who answered then, which the line does not say. Either a plugin may have made the same
 * error, and now the service is asked; or the error may have come from circumstances.
 */
const rests = (was: RecordedDecision, becomes: Decision): boolean =>
  was.by === undefined &&
  (was.status === becomes.status ? was.status >= 400 && becomes.by === null : mayBeCircumstance(was.status));

const mayBeCircumstance = (status: number): boolean => status === 408 || status >= 500;

function callerOf({ userId, credentialId, client }: RecordedRequest): string {
  if (userId !== undefined) return `user ${userId}`;
  return credentialId === undefined ? `address ${client}` : `credential ${credentialId}`;
}

// Turns a request's record into plain data, as `GET /requests/<id>` and `outrigger explain --json` show it.
import type { Fact } from "../../runtime/live-record.ts";
import type { EndedRequest } from "./ended-request.ts";
import type { ChangeEntry, HookEntry, RequestRecord } from "./record.ts";

/** The outcome of a hook. */
export type Decision = "went-on" | "answered" | "refused" | "failed" | "left-out";

export interface ExplainedHook {
  readonly plugin: string;
  readonly phase: string;
  readonly decision: Decision;
  /** Why it refused, if it gave a reason. */
  readonly because: string | null;
  readonly ms: number;
  readonly facts: Readonly<Record<string, Fact>>;
  readonly fields: ChangedFields;
}

/** Names of header fields. */
export interface ChangedFields {
  readonly set: readonly string[];
  readonly removed: readonly string[];
}

export interface Explanation {
  readonly requestId: string;
  readonly at: string;
  readonly request: Readonly<Record<string, string | null>>;
  readonly policyDigest: string;
  /** Path of the matching route; null = no route matched. */
  readonly route: string | null;
  readonly identity: Readonly<Record<string, string | null>> | null;
  /** false = past the rate at which whole records are kept: facts and changed fields were not recorded. */
  readonly whole: boolean;
  readonly hooks: readonly ExplainedHook[];
  /** Plugins of the route whose request phase was not reached. */
  readonly notAsked: readonly string[];
  /** Fields that a client may not send, or that end at the sidecar. */
  readonly droppedFields: readonly string[];
  /** Fields that the sidecar itself changed on the way to the service. */
  readonly ownFields: ChangedFields;
  readonly upstream: {
    readonly name: string;
    /** When each try was sent, milliseconds from the beginning. */
    readonly askedAtMs: readonly number[];
    readonly waitedMs: number | null;
  } | null;
  readonly outcome: Readonly<Record<string, string | number | null>>;
  readonly traceId: string | null;
}

const maxDropped = 64;

/** @returns undefined for a record that is not complete */
export function explanationOf(record: RequestRecord): Explanation | undefined {
  const { request } = record;
  if (!record.isComplete) return undefined;
  const { id, atMs, route, traceId } = request;
  return {
    requestId: id,
    at: new Date(atMs).toISOString(),
    request: requestOf(request),
    policyDigest: record.digest,
    route: route === "" ? null : route,
    identity: identityOf(request),
    whole: record.isWhole,
    hooks: hooksOf(record, request),
    notAsked: record.plugins.slice(request.reached),
    droppedFields: [...new Set(record.dropped ?? [])].slice(0, maxDropped).map((name) => name.slice(0, 256)),
    ownFields: ownFieldsOf(record),
    upstream: upstreamOf(record, request),
    outcome: outcomeOf(request),
    traceId: traceId ?? null,
  };
}

function identityOf({ userId, identifiedBy, credentialId, plan }: EndedRequest): Explanation["identity"] {
  if (userId === undefined || identifiedBy === undefined) return null;
  return { userId, method: identifiedBy, credentialId: credentialId ?? null, plan: plan ?? null };
}

function requestOf(request: EndedRequest): Explanation["request"] {
  const { method, path, host, scheme, httpVersion, client, upgrade = null } = request;
  return { method, path, host, scheme, httpVersion, client, upgrade };
}

function upstreamOf({ tries, tryCount, startedMono }: RequestRecord, { upstream, outcome }: EndedRequest) {
  if (tryCount === 0) return null;
  const askedAtMs = tries.slice(0, tryCount).map((mono) => round(mono - startedMono));
  return {
    name: upstream,
    askedAtMs,
    waitedMs: Number.isNaN(outcome.upstreamMs) ? null : round(outcome.upstreamMs),
  };
}

function outcomeOf({ outcome, error, refusedBecause, cacheStatus }: EndedRequest) {
  const { status, end, durationMs, requestBytes, responseBytes, answeredBy, grpcStatus } = outcome;
  return {
    status,
    end,
    durationMs: round(durationMs),
    requestBytes,
    responseBytes,
    answeredBy: answeredBy ?? null,
    grpcStatus: grpcStatus ?? null,
    error: error?.code ?? null,
    detail: error?.detail ?? null,
    cause: error?.cause ?? null,
    refusedBecause: refusedBecause ?? null,
    cacheStatus: cacheStatus ?? null,
  };
}

function hooksOf(record: RequestRecord, request: EndedRequest): ExplainedHook[] {
  const hooks = record.hooks();
  const changes = record.changes();
  const answering = answeringHook(hooks, request);
  return hooks.flatMap((hook, index) => {
    const { plugin, phase, tenths } = hook;
    if (plugin === "") return [];
    const decision = index === answering ? answerOf(request) : decisionOf(hook);
    const because = decision === "refused" ? (request.refusedBecause ?? request.error?.detail ?? null) : null;
    const facts = (record.facts ?? [])
      .filter((entry) => entry.hook === index)
      .flatMap((entry) => entry.facts);
    return [
      {
        plugin,
        phase,
        decision,
        because,
        ms: tenths / 10_000,
        facts: named(facts),
        fields: fieldsOf(changes, index),
      },
    ];
  });
}

/** The last hook of the answering plugin in a phase that can answer. */
function answeringHook(hooks: readonly HookEntry[], { outcome }: EndedRequest): number {
  return hooks.findLastIndex(
    ({ plugin, phase }) => plugin === outcome.answeredBy && (phase === "onRequest" || phase === "onError"),
  );
}

const answerOf = ({ error }: EndedRequest): Decision => (error === null ? "answered" : "refused");

function decisionOf({ end }: HookEntry): Decision {
  if (end === "threw") return "refused";
  return end === "returned" ? "went-on" : end;
}

function named(facts: readonly Fact[]): Record<string, Fact> {
  const found: Record<string, Fact> = Object.create(null);
  for (let i = 0; i + 1 < facts.length; i += 2) found[String(facts[i])] = facts[i + 1] as Fact;
  return found;
}

function ownFieldsOf(record: RequestRecord): ChangedFields {
  const own = record.hooks().flatMap(({ plugin }, index) => (plugin === "" ? [index] : []));
  const changes = record.changes();
  const all = own.map((index) => fieldsOf(changes, index));
  return { set: all.flatMap(({ set }) => set), removed: all.flatMap(({ removed }) => removed) };
}

function fieldsOf(changes: readonly ChangeEntry[], hook: number): ChangedFields {
  const own = changes.filter((entry) => entry.hook === hook);
  const names = (isWanted: (entry: ChangeEntry) => boolean): string[] => [
    ...new Set(own.filter(isWanted).map(({ name }) => name)),
  ];
  return {
    set: names(({ change }) => change !== "removed"),
    removed: names(({ change }) => change === "removed"),
  };
}

const round = (ms: number): number => Math.round(ms * 1_000) / 1_000;

// The data kept of a request after its end. The object is reused in place: new objects for the last thousand requests
// would survive every young-generation collection, which cost more than everything else about keeping them.
import type { Outcome } from "../../plugin-api/exchange.ts";
import type { EndedExchange } from "../../runtime/live-record.ts";

const maxText = 1_024;

/** How the request ended. */
export interface KeptOutcome {
  status: number;
  end: Outcome["end"];
  durationMs: number;
  /** NaN = the service did not answer. */
  upstreamMs: number;
  requestBytes: number;
  responseBytes: number;
  answeredBy: string | undefined;
  grpcStatus: number | undefined;
}

export class EndedRequest {
  id = "";
  atMs = 0;
  method = "";
  path = "";
  host = "";
  scheme = "";
  httpVersion = "";
  client = "";
  upgrade: string | undefined = undefined;
  route = "";
  upstream = "";
  reached = 0;
  /** Copied from the identity, which also holds the caller's claims; undefined = caller unknown. */
  userId: string | undefined = undefined;
  identifiedBy: string | undefined = undefined;
  credentialId: string | undefined = undefined;
  plan: string | undefined = undefined;
  traceId: string | undefined = undefined;
  refusedBecause: string | undefined = undefined;
  cacheStatus: string | undefined = undefined;
  readonly outcome: KeptOutcome = {
    status: 0,
    end: "complete",
    durationMs: 0,
    upstreamMs: Number.NaN,
    requestBytes: 0,
    responseBytes: 0,
    answeredBy: undefined,
    grpcStatus: undefined,
  };
  /** Not the error object, which references whole sockets. */
  error: { readonly code: string; readonly detail: string; readonly cause: string | undefined } | null = null;

  take(exchange: EndedExchange, outcome: Outcome): void {
    const { request, identity, route } = exchange;
    // Texts of the request are copied: as slices of its head they would keep the whole head in memory.
    this.id = ownText(exchange.id, maxText);
    this.atMs = exchange.startedAt;
    this.method = request.method;
    this.path = ownText(request.path, maxText);
    this.host = ownText(request.host, maxText);
    this.scheme = request.scheme;
    this.httpVersion = request.httpVersion;
    this.client = ownText(exchange.client.address, maxText);
    this.upgrade = request.upgrade === undefined ? undefined : ownText(request.upgrade, maxText);
    this.route = route.pattern;
    this.upstream = route.upstream;
    this.reached = exchange.reached;
    this.userId = identity?.userId;
    this.identifiedBy = identity?.method;
    this.credentialId = identity?.credentialId;
    this.plan = identity?.plan;
    this.traceId = exchange.trace?.traceId;
    this.refusedBecause = exchange.refusedBecause;
    this.cacheStatus = exchange.cacheStatus;
    this.error = outcome.error === undefined ? null : errorOf(outcome.error);
    this.#takeOutcome(outcome);
  }

  /** Clears the texts that come from the client or identify the caller. */
  forget(): void {
    this.id = this.path = this.host = this.client = "";
    this.upgrade = undefined;
    this.userId = this.credentialId = this.plan = this.traceId = undefined;
    this.refusedBecause = undefined;
    this.error = null;
  }

  #takeOutcome(outcome: Outcome): void {
    const kept = this.outcome;
    kept.status = outcome.status;
    kept.end = outcome.end;
    kept.durationMs = outcome.durationMs;
    kept.upstreamMs = outcome.upstreamMs ?? Number.NaN;
    kept.requestBytes = outcome.requestBytes;
    kept.responseBytes = outcome.responseBytes;
    kept.answeredBy = outcome.answeredBy;
    kept.grpcStatus = outcome.grpcStatus;
  }

  /** Approximate memory of the texts, in bytes. */
  get textBytes(): number {
    // Added one by one: an array would be allocated for every request.
    let length = this.path.length + this.id.length + this.host.length;
    length += (this.userId ?? "").length + (this.credentialId ?? "").length;
    length += (this.plan ?? "").length + (this.refusedBecause ?? "").length;
    return 2 * length;
  }
}

/** Copies the text, cut to `length`, so that it does not keep a longer text in memory. */
export function ownText(text: string, length: number): string {
  return Buffer.from(text.length > length ? `${text.slice(0, length)}…` : text).toString();
}

function errorOf({ code, detail, cause }: NonNullable<Outcome["error"]>): NonNullable<EndedRequest["error"]> {
  const system = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return { code, detail, cause: typeof system === "string" ? system : undefined };
}

// Passes an exchange to one of several endpoints, and records there how it ends.
import type { GatewayError } from "../../plugin-api/errors.ts";
import { CallerDeadline } from "../http2-call.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "../transport.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Outliers } from "./outliers.ts";

/** A response whose body still arrives after so long counts as a success. */
const soundStreamMs = 10_000;

export class BalancedCall implements UpstreamCall, UpstreamHandler {
  readonly #endpoint: Endpoint;
  readonly #outliers: Outliers;
  readonly #handler: UpstreamHandler;
  #call: UpstreamCall | undefined = undefined;
  /** When the head of a good answer came, monotonic ms; undefined = none did, or what it came to has been counted. */
  #doubtfulSince: number | undefined = undefined;
  #hasData = false;
  /** Its head was a 5xx, which has been counted. */
  #hasFailed = false;
  #over = false;

  constructor(endpoint: Endpoint, outliers: Outliers, handler: UpstreamHandler) {
    this.#endpoint = endpoint;
    this.#outliers = outliers;
    this.#handler = handler;
  }

  start(request: UpstreamRequest): void {
    this.#endpoint.inFlight += 1;
    const call = this.#endpoint.transport.send(request, this);
    if (!this.#over) this.#call = call;
  }

  write(chunk: Buffer): boolean {
    return this.#call?.write(chunk) ?? true;
  }

  end(trailers?: readonly string[]): void {
    this.#call?.end(trailers);
  }

  resume(): void {
    this.#call?.resume();
  }

  abort(): void {
    const call = this.#call;
    // An answer that was under way until its client left is as good as can be known. A head alone may be all there is.
    if (this.#hasData) this.#succeeded();
    this.#end();
    call?.abort();
  }

  onInterim(status: number, fields: readonly string[]): void {
    this.#handler.onInterim(status, fields);
  }

  onHead(status: number, statusText: string, fields: readonly string[]): void {
    // What only has a good head may still break off: if it counted, an endpoint whose bodies all break off would do well.
    if (status < 500) this.#doubtfulSince = this.#outliers.nowMono;
    else {
      this.#hasFailed = true;
      this.#outliers.failed(this.#endpoint);
    }
    this.#handler.onHead(status, statusText, fields);
  }

  onData(chunk: Buffer): boolean {
    this.#hasData = true;
    // A stream without end is no failure, and must not wait for its end to count as a success.
    const since = this.#doubtfulSince;
    if (since !== undefined && this.#outliers.nowMono - since >= soundStreamMs) this.#succeeded();
    return this.#handler.onData(chunk);
  }

  onEnd(trailers: readonly string[]): void {
    this.#succeeded();
    this.#end();
    this.#handler.onEnd(trailers);
  }

  onFail(error: GatewayError): void {
    this.#end();
    if (!this.#hasFailed) noteFailure(error, this.#endpoint, this.#outliers);
    this.#handler.onFail(error);
  }

  onDrain(): void {
    this.#handler.onDrain();
  }

  #succeeded(): void {
    if (this.#over || this.#doubtfulSince === undefined) return;
    this.#doubtfulSince = undefined;
    this.#outliers.succeeded(this.#endpoint);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#call = undefined;
    this.#endpoint.inFlight -= 1;
  }
}

/** A timeout within a shorter caller deadline says nothing about the endpoint: otherwise any caller could eject one. */
const tellingDeadlineMs = 1_000;

/** Only upstream faults count: a fault of the request, or of the sidecar itself, is not the endpoint's. */
export function noteFailure({ code, cause }: GatewayError, endpoint: Endpoint, outliers: Outliers): void {
  if (cause instanceof CallerDeadline && cause.limitMs < tellingDeadlineMs) return;
  if (code.startsWith("upstream_")) outliers.failed(endpoint);
}

/** Counts what came of an upgrade: the status of its answer, or why there was none. */
export function noteAnswer(how: number | GatewayError, endpoint: Endpoint, outliers: Outliers): void {
  if (typeof how !== "number") noteFailure(how, endpoint, outliers);
  else if (how < 500) outliers.succeeded(endpoint);
  else outliers.failed(endpoint);
}

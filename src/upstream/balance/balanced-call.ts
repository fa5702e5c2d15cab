// Passes an exchange to one of several endpoints, and records there how it ends.
import { fieldOf } from "../../http2/fields.ts";
import { httpStatusOf, parseGrpcTimeout } from "../../http2/grpc.ts";
import type { GatewayError } from "../../plugin-api/errors.ts";
import { isGrpcType } from "../../plugin-api/grpc-type.ts";
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
  #isGrpc = false;
  /** The request's fields, for gRPC's deadline. */
  #asked: readonly string[] = [];
  /** The answer said itself that it is a failure, which has been counted. */
  #hasFailed = false;
  #over = false;

  constructor(endpoint: Endpoint, outliers: Outliers, handler: UpstreamHandler) {
    this.#endpoint = endpoint;
    this.#outliers = outliers;
    this.#handler = handler;
  }

  start(request: UpstreamRequest): void {
    this.#endpoint.inFlight += 1;
    this.#asked = request.fields;
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
    else this.#failed();
    // gRPC is not spoken over HTTP/1.1. A refusal without a message has its status in the head.
    if (status === 200 && (this.#endpoint.target.protocol ?? "http1") !== "http1") {
      this.#isGrpc = isGrpcType(fieldOf(fields, "content-type"));
      if (this.#isGrpc) this.#noteGrpc(fields);
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
    if (this.#isGrpc) this.#noteGrpc(trailers);
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

  /** Counts a status of gRPC that is a failure of the service. */
  #noteGrpc(fields: readonly string[]): void {
    const status = fieldOf(fields, "grpc-status");
    if (status === undefined || status === "0" || this.#hasFailed) return;
    const isLate = status === deadlineExceeded;
    if (isLate && (this.#limitMs ?? Infinity) < tellingDeadlineMs) this.#doubtfulSince = undefined;
    else if (status !== unimplemented && (httpStatusOf(Number(status)) ?? 0) >= 500) this.#failed();
  }

  get #limitMs(): number | undefined {
    return parseGrpcTimeout(fieldOf(this.#asked, "grpc-timeout"));
  }

  #failed(): void {
    this.#hasFailed = true;
    this.#doubtfulSince = undefined;
    this.#outliers.failed(this.#endpoint);
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
const deadlineExceeded = "4";
/** Any caller can name a method that is not there, and gRPC has no other status for that. */
const unimplemented = "12";

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

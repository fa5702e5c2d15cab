// Passes an exchange to one of several endpoints, and records there how it ends.
import type { GatewayError } from "../../plugin-api/errors.ts";
import { CallerDeadline } from "../http2-call.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "../transport.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Outliers } from "./outliers.ts";

export class BalancedCall implements UpstreamCall, UpstreamHandler {
  readonly #endpoint: Endpoint;
  readonly #outliers: Outliers;
  readonly #handler: UpstreamHandler;
  #call: UpstreamCall | undefined = undefined;
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
    this.#end();
    call?.abort();
  }

  onInterim(status: number, fields: readonly string[]): void {
    this.#handler.onInterim(status, fields);
  }

  onHead(status: number, statusText: string, fields: readonly string[]): void {
    if (status >= 500) this.#outliers.failed(this.#endpoint);
    else this.#outliers.succeeded(this.#endpoint);
    this.#handler.onHead(status, statusText, fields);
  }

  onData(chunk: Buffer): boolean {
    return this.#handler.onData(chunk);
  }

  onEnd(trailers: readonly string[]): void {
    this.#end();
    this.#handler.onEnd(trailers);
  }

  onFail(error: GatewayError): void {
    this.#end();
    noteFailure(error, this.#endpoint, this.#outliers);
    this.#handler.onFail(error);
  }

  onDrain(): void {
    this.#handler.onDrain();
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

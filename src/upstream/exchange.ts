// One exchange with the upstream, as its caller sees it. It holds the request's body to its announced length, buffers
// chunks until there is a connection, and ends exactly once.
import { GatewayError } from "../plugin-api/errors.ts";
import { CHUNKED, encodeLastChunk, isIdempotent, type EncodedHead } from "../http1/head-writer.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "./transport.ts";

/** The queue or connection that holds the exchange now. */
export interface Holder {
  /** The exchange is over: drop every reference to it. */
  drop(exchange: Exchange): void;
}

/** A connection that carries the exchange. */
export interface Carrier extends Holder {
  /** @returns false = the connection can take no more now; `drained` follows */
  writeBody(chunk: Buffer): boolean;
  endBody(): void;
  resume(): void;
}

const noHead: EncodedHead = { text: "", bodyBytes: 0, expectsContinue: false };

export class Exchange implements UpstreamCall {
  readonly request: UpstreamRequest;
  readonly handler: UpstreamHandler;
  readonly idempotent: boolean;
  head: EncodedHead = noHead;
  /** When the wait for a connection ends, on the monotonic clock. */
  waitUntil = 0;
  /** A part of a streamed body was handed to a connection: it cannot be sent again. */
  bodyTaken = false;
  /** Chunks that came before there was a connection; `write` returned false from the first on. */
  pending: Buffer[] | undefined;
  ended: boolean;
  /** The last chunk of a chunked body, with its trailers. */
  lastChunk = "";
  /** The client whose connection it needs; undefined = any connection will do. */
  origin: string | undefined = undefined;
  /** Neighbours in the queue. */
  previous: Exchange | undefined;
  next: Exchange | undefined;

  #state: "open" | "over" | "aborted" = "open";
  #holder: Holder | undefined;
  #carrier: Carrier | undefined;
  #bodyLeft = 0;
  #awaitsDrain = false;

  constructor(request: UpstreamRequest, handler: UpstreamHandler) {
    this.request = request;
    this.handler = handler;
    this.idempotent = isIdempotent(request.method);
    this.ended = request.body !== "stream";
  }

  /** The client whose share it counts against. */
  get client(): string | undefined {
    return this.request.client;
  }

  /** Whether the service may get it twice and everything to send it again is at hand. */
  get repeatable(): boolean {
    return this.idempotent && this.request.body !== "stream";
  }

  setHead(head: EncodedHead): void {
    this.head = head;
    this.#bodyLeft = head.bodyBytes;
  }

  /** The exchange now waits at that holder for a connection. */
  heldBy(holder: Holder): void {
    this.#holder = holder;
    this.#carrier = undefined;
  }

  /** The exchange now goes over that connection. */
  carriedBy(carrier: Carrier): void {
    this.#holder = carrier;
    this.#carrier = carrier;
  }

  write(chunk: Buffer): boolean {
    if (this.#state !== "open") return true;
    if (chunk.length === 0) return !this.#awaitsDrain;
    const chunked = this.head.bodyBytes === CHUNKED;
    if (!chunked) this.#bodyLeft -= chunk.length;
    if (this.ended || (!chunked && this.#bodyLeft < 0)) {
      this.#miscounted("more");
      return true;
    }
    if (this.#carrier === undefined) (this.pending ??= []).push(chunk);
    else if (this.#carrier.writeBody(chunk)) return true;
    this.#awaitsDrain = true;
    return false;
  }

  end(trailers: readonly string[] = []): void {
    if (this.#state !== "open" || this.ended) return;
    const chunked = this.head.bodyBytes === CHUNKED;
    if (!chunked && this.#bodyLeft !== 0) {
      this.#miscounted("fewer");
      return;
    }
    const lastChunk = chunked ? encodeLastChunk(trailers) : "";
    if (lastChunk instanceof GatewayError) {
      this.failSoon(lastChunk);
      return;
    }
    this.lastChunk = lastChunk;
    this.ended = true;
    this.#carrier?.endBody();
  }

  resume(): void {
    this.#carrier?.resume();
  }

  abort(): void {
    const wasOpen = this.#state === "open";
    this.#state = "aborted";
    if (wasOpen) this.#letGo();
  }

  /** The connection can take more of the body. */
  drained(): void {
    if (!this.#awaitsDrain || this.#state !== "open") return;
    this.#awaitsDrain = false;
    if (!this.ended) this.handler.onDrain();
  }

  /** The response is complete. */
  complete(trailers: readonly string[]): void {
    this.#state = "over";
    this.#forget();
    this.handler.onEnd(trailers);
  }

  /** Fails the exchange. Its holder must have let it go already. */
  fail(error: GatewayError): void {
    if (this.#state !== "open") return;
    this.#state = "over";
    this.#forget();
    this.handler.onFail(error);
  }

  /** Ends the exchange now, and reports the error after the caller's own call has returned. */
  failSoon(error: GatewayError): void {
    this.#state = "over";
    this.#letGo();
    process.nextTick(tellFailure, this, error);
  }

  get wasAborted(): boolean {
    return this.#state === "aborted";
  }

  #letGo(): void {
    const holder = this.#holder;
    this.#forget();
    holder?.drop(this);
  }

  #forget(): void {
    this.#holder = undefined;
    this.#carrier = undefined;
    this.pending = undefined;
  }

  /** A body of another length than announced would be misread, and with it the next request. */
  #miscounted(how: "more" | "fewer"): void {
    this.failSoon(
      new GatewayError("internal_error", "The request could not be forwarded.", {
        cause: new Error(`the request body has ${how} bytes than its Content-Length`),
      }),
    );
  }
}

function tellFailure(exchange: Exchange, error: GatewayError): void {
  if (!exchange.wasAborted) exchange.handler.onFail(error);
}

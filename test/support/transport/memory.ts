// An upstream in memory: the test answers each call, step by step, in any order that the interface allows. Calls that
// break the interface are recorded.
import { GatewayError } from "../../../src/plugin-api/errors.ts";
import type {
  OwnConnectionHandler,
  OwnRequest,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamTransport,
} from "../../../src/upstream/transport.ts";

export class MemoryTransport implements UpstreamTransport {
  readonly calls: MemoryCall[] = [];
  /** Fails calls before `send` returns, as a full pool does. */
  refuses = false;

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const call = new MemoryCall(request, handler);
    this.calls.push(call);
    if (this.refuses) call.fail();
    return call;
  }

  openOwn(_request: OwnRequest, _handler: OwnConnectionHandler): () => void {
    throw new Error("there are no connections here");
  }

  counts(): ReturnType<UpstreamTransport["counts"]> {
    return { active: this.calls.filter(({ over }) => !over).length, idle: 0, queued: 0, upgraded: 0 };
  }

  close(): void {}
}

export class MemoryCall implements UpstreamCall {
  readonly request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  /** Calls that the interface forbids; has to stay empty. */
  readonly broken: string[] = [];
  headed = false;
  paused = false;
  over = false;
  bodyEnded: boolean;
  /** Whether writes of the request's body ask the caller to wait. */
  full = false;
  #isFull = false;

  constructor(request: UpstreamRequest, handler: UpstreamHandler) {
    this.request = request;
    this.#handler = handler;
    this.bodyEnded = request.body !== "stream";
  }

  write(): boolean {
    if (this.over) this.broken.push("body after the end");
    if (this.bodyEnded) this.broken.push("body after its end");
    this.#isFull = this.full;
    return !this.full;
  }

  end(): void {
    if (this.over) this.broken.push("end after the end");
    if (this.bodyEnded) this.broken.push("two ends of the body");
    this.bodyEnded = true;
  }

  resume(): void {
    this.paused = false;
  }

  abort(): void {
    this.over = true;
  }

  interim(): void {
    if (!this.over && !this.headed) this.#handler.onInterim(103, ["Link", "</a.css>; rel=preload"]);
  }

  head(status: number, fields: readonly string[]): void {
    if (this.over || this.headed) return;
    this.headed = true;
    this.#handler.onHead(status, "", fields);
  }

  data(chunk: Buffer): void {
    if (this.over || !this.headed || this.paused) return;
    // The callback may resume or abort the exchange.
    this.paused = true;
    if (this.#handler.onData(chunk)) this.paused = false;
  }

  finish(): void {
    if (this.over || !this.headed || this.paused) return;
    this.over = true;
    this.#handler.onEnd([]);
  }

  fail(): void {
    if (this.over) return;
    this.over = true;
    this.#handler.onFail(new GatewayError("upstream_reset", "It broke off."));
  }

  drain(): void {
    this.full = false;
    if (this.over || !this.#isFull) return;
    this.#isFull = false;
    this.#handler.onDrain();
  }
}

// The service of a test: gives every request the test's answer, and keeps the fields of the first request.
import { Fields } from "../plugin-api/fields.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type {
  OwnConnectionHandler,
  TransportCounts,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamTransport,
} from "../upstream/transport.ts";

export interface StubbedAnswer {
  readonly status: number;
  /** name, value, name, value … */
  readonly fields: readonly string[];
  readonly body: Buffer;
}

/** @returns upstreams with this one service at every address */
export function stubbed(upstream: UpstreamTransport) {
  return {
    upstreams: { hold: () => {}, get: () => upstream, release: () => {} },
    balanced: { hold: () => upstream, release: () => {} },
  };
}

export class StubUpstream implements UpstreamTransport {
  /** Fields of the first request; undefined = the service was not asked. */
  asked: Fields | undefined = undefined;
  readonly #answer: StubbedAnswer;

  constructor(answer: StubbedAnswer) {
    this.#answer = answer;
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    this.asked ??= new Fields(request.fields);
    return new StubbedCall(request.method, this.#answer, handler);
  }

  openOwn(_request: unknown, handler: OwnConnectionHandler): () => void {
    const error = new GatewayError("upstream_unavailable", "A test has no connection to take over.");
    process.nextTick(() => handler.onFail(error));
    return () => {};
  }

  counts(): TransportCounts {
    return { active: 0, idle: 0, queued: 0, upgraded: 0 };
  }

  close(): void {}
}

class StubbedCall implements UpstreamCall {
  readonly #handler: UpstreamHandler;
  readonly #answer: StubbedAnswer;
  readonly #hasBody: boolean;
  #state: "head" | "body" | "over" = "head";

  constructor(method: string, answer: StubbedAnswer, handler: UpstreamHandler) {
    this.#handler = handler;
    this.#answer = answer;
    const { status, body } = answer;
    this.#hasBody = method !== "HEAD" && status !== 204 && status !== 304 && body.length > 0;
    process.nextTick(() => this.#begin());
  }

  write(): boolean {
    return true;
  }

  end(): void {}

  resume(): void {
    if (this.#state === "body") process.nextTick(() => this.#finish());
  }

  abort(): void {
    this.#state = "over";
  }

  #begin(): void {
    if (this.#state === "over") return;
    const { status, fields, body } = this.#answer;
    this.#state = "body";
    this.#handler.onHead(status, "", fields);
    // The handler may abort the call from within `onData`.
    if (!this.#isOver && this.#hasBody && !this.#handler.onData(body)) return;
    this.#finish();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#state = "over";
    this.#handler.onEnd([]);
  }

  get #isOver(): boolean {
    return this.#state === "over";
  }
}

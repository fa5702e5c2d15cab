// One exchange with a service over an HTTP/2 stream. It ends exactly once.
import http2, { type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from "node:http2";
import { fieldObject, fieldOf, isOfConnections, withoutPseudo } from "../http2/fields.ts";
import { grpcTimeout, parseGrpcTimeout } from "../http2/grpc.ts";
import type { ResetBudget } from "../http2/reset-budget.ts";
import { MAX_INTERIM } from "../http1/response-parser.ts";
import { isGrpcType } from "../plugin-api/grpc-type.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { takeBack } from "./http2-take-back.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "./transport.ts";

const { NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM, NGHTTP2_FLAG_END_STREAM } = http2.constants;

/** The caller's own deadline (`grpc-timeout`) has passed. */
export class CallerDeadline extends Error {
  override readonly name = "CallerDeadline";
  readonly limitMs: number;

  constructor(limitMs: number) {
    super(`the caller gave it ${limitMs} ms`);
    this.limitMs = limitMs;
  }
}

/** The service refused the stream before it looked at it (RFC 9113 section 8.7): any request may be sent again. */
export class RefusedUnseen extends Error {
  override readonly name = "RefusedUnseen";
}

/** The transport that has the call's session. */
export interface CallOwner {
  /** The call is over. @param unseen the service never looked at its stream: it may be sent again */
  over(call: Http2Call, unseen: boolean): void;
  /** The call had no answer in time. */
  silent(call: Http2Call): void;
  /** The call is over before it had a stream. */
  forget(call: Http2Call): void;
}

export class Http2Call implements UpstreamCall {
  readonly request: UpstreamRequest;
  readonly handler: UpstreamHandler;
  /** How often the call was sent. */
  tries = 0;
  readonly #owner: CallOwner;
  readonly #scheme: "http" | "https";
  readonly #isGrpc: boolean;
  readonly #startedMono = performance.now();
  readonly #deadline: NodeJS.Timeout | undefined;
  #stream: ClientHttp2Stream | undefined;
  #resets: ResetBudget | undefined;
  #gap: NodeJS.Timeout | undefined;
  #pending: Buffer[] = [];
  #ended: boolean;
  #trailers: readonly string[] = [];
  #responseTrailers: readonly string[] = [];
  #hasTrailers = false;
  #interims = 0;
  #hasHead = false;
  #over = false;
  #paused = false;

  /** @param scheme that of the service: some services refuse a head with another scheme (RFC 9113 section 8.3.1) */
  constructor(
    request: UpstreamRequest,
    handler: UpstreamHandler,
    { owner, scheme }: { readonly owner: CallOwner; readonly scheme: "http" | "https" },
  ) {
    this.#scheme = scheme;
    this.request = request;
    this.handler = handler;
    this.#owner = owner;
    this.#ended = request.body !== "stream";
    this.#isGrpc = isGrpcType(fieldOf(request.fields, "content-type"));
    const limitMs = this.#isGrpc ? parseGrpcTimeout(fieldOf(request.fields, "grpc-timeout")) : undefined;
    this.#deadline =
      limitMs === undefined
        ? undefined
        : setTimeout(() => this.#late(new CallerDeadline(limitMs)), Math.min(limitMs, 2 ** 31 - 1));
  }

  /** The client of the call, if calls are counted by client. */
  get client(): string | undefined {
    return this.request.client;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Whether the call can be sent once more: its body is not streamed. */
  get repeatable(): boolean {
    return this.request.body !== "stream";
  }

  /** Opens a stream for the call. @param resets how many resets the service may still see on that session */
  start(session: ClientHttp2Session, resets: ResetBudget): void {
    this.tries += 1;
    this.#resets = resets;
    const { body } = this.request;
    const isWhole =
      body === "none" ||
      (body === "stream" && this.#ended && this.#pending.length === 0 && this.#trailers.length === 0);
    const stream = session.request(this.#head(), {
      endStream: isWhole,
      waitForTrailers: !isWhole && body === "stream",
    });
    this.#stream = stream;
    stream.on("error", () => {});
    stream.on("headers", (_headers, _flags, raw: string[]) => this.#interim(stream, raw));
    stream.on("response", (_headers, flags, raw: string[]) => this.#response(raw, flags));
    stream.on("trailers", (_headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
      this.#hasTrailers = true;
      this.#responseTrailers = withoutPseudo(raw);
    });
    stream.on("data", (chunk: Buffer) => this.#data(chunk));
    stream.on("end", () => this.#end());
    stream.on("close", () => this.#closed());
    stream.on("drain", () => this.#drained());
    stream.on("wantTrailers", () => this.#sendTrailers(stream));
    if (Buffer.isBuffer(body)) stream.end(body);
    else if (!isWhole) {
      for (const chunk of this.#pending.splice(0)) stream.write(chunk);
      if (this.#ended) stream.end();
      else if (this.tries === 1) process.nextTick(() => this.#over || this.handler.onDrain());
    }
    if (this.#ended) this.#await();
  }

  write(chunk: Buffer): boolean {
    if (this.#over) return true;
    if (this.#stream !== undefined) {
      if (this.#stream.write(chunk)) return true;
      // From now on, the call waits for the service.
      this.#await();
      return false;
    }
    this.#pending.push(chunk);
    return false;
  }

  end(trailers: readonly string[] = []): void {
    if (this.#over) return;
    this.#ended = true;
    this.#trailers = trailers;
    this.#stream?.end();
    if (this.#stream !== undefined) this.#await();
  }

  resume(): void {
    this.#paused = false;
    this.#stream?.resume();
    if (this.#hasHead) this.#await();
  }

  abort(): void {
    if (this.#over) return;
    this.#finish();
    if (this.#stream === undefined) this.#owner.forget(this);
    else takeBack(this.#stream, this.#resets);
  }

  /** Fails the call: it got no stream, or its connection broke. */
  fail(error: GatewayError): void {
    if (this.#over) return;
    this.#finish();
    this.handler.onFail(error);
  }

  #head(): string[] {
    const { method, target, fields } = this.request;
    const host = fieldOf(fields, "host") ?? "";
    const head = [":method", method, ":scheme", this.#scheme, ":authority", host, ":path", target];
    for (let i = 0; i < fields.length; i += 2) {
      const name = (fields[i] as string).toLowerCase();
      if (name === "host" || name === "te" || isOfConnections(name)) continue;
      const value = fields[i + 1] as string;
      head.push(name, name === "grpc-timeout" ? this.#left(value) : value);
    }
    // The sidecar takes trailers, whether or not the client asked.
    head.push("te", "trailers");
    return head;
  }

  #sendTrailers(stream: ClientHttp2Stream): void {
    try {
      stream.sendTrailers(fieldObject(this.#trailers));
    } catch (cause) {
      this.fail(new GatewayError("internal_error", "The request could not be forwarded.", { cause }));
      takeBack(stream, this.#resets);
    }
  }

  #left(value: string): string {
    const limitMs = parseGrpcTimeout(value);
    return limitMs === undefined ? value : grpcTimeout(limitMs - (performance.now() - this.#startedMono));
  }

  #interim(stream: ClientHttp2Stream, raw: readonly string[]): void {
    if (this.#over) return;
    const status = Number(raw[raw.indexOf(":status") + 1]);
    this.#interims += 1;
    if (this.#interims > MAX_INTERIM) {
      const cause = new Error("too many interim responses");
      const text = "The service sent an invalid response.";
      this.fail(new GatewayError("upstream_invalid_response", text, { cause }));
      takeBack(stream, this.#resets);
    } else if (status !== 101) this.handler.onInterim(status, withoutPseudo(raw));
  }

  #response(raw: readonly string[], flags: number): void {
    if (this.#over) return;
    this.#hasHead = true;
    this.#await();
    const status = Number(raw[raw.indexOf(":status") + 1]);
    this.handler.onHead(status, "", withoutPseudo(raw));
    // Ends at once, so that a one-frame response is one for the client, too: gRPC recognises a refusal by that.
    if ((flags & NGHTTP2_FLAG_END_STREAM) !== 0) this.#end(true);
  }

  #data(chunk: Buffer): void {
    if (this.#over || chunk.length === 0) return;
    if (this.handler.onData(chunk)) this.#await();
    else {
      this.#paused = true;
      this.#stream?.pause();
      clearTimeout(this.#gap);
      this.#gap = undefined;
    }
  }

  /** @param isWhole the response is only a head */
  #end(isWhole = false): void {
    const stream = this.#stream;
    if (this.#over || !this.#hasHead || stream === undefined) return;
    if (stream.aborted || stream.rstCode !== NGHTTP2_NO_ERROR) return;
    // A reset also emits `end`, even with code 0. After the end of a body, the stream stays open until `end` was
    // emitted (Node 26), so a closed stream means a reset. Trailers by themselves are an end.
    if (stream.closed && !isWhole && !this.#hasTrailers) return;
    this.#finish();
    this.handler.onEnd(this.#responseTrailers);
    // Nobody sends the rest of the request's body: without a reset the stream would stay open, and take a place.
    if (!this.#ended || stream.writableLength > 0) takeBack(stream, this.#resets);
  }

  #closed(): void {
    const code = this.#stream?.rstCode ?? NGHTTP2_NO_ERROR;
    const unseen = code === NGHTTP2_REFUSED_STREAM && !this.#hasHead && !this.#over;
    if (unseen && this.repeatable && this.tries === 1) this.#stream = undefined;
    else if (!this.#over) {
      const cause = new (unseen ? RefusedUnseen : Error)(`HTTP/2 error code ${code}`);
      this.fail(new GatewayError("upstream_reset", "The service broke the stream off.", { cause }));
    }
    this.#owner.over(this, this.#stream === undefined);
  }

  /** A gRPC stream may be silent for as long as its deadline allows. */
  #await(): void {
    if (this.#over || this.#paused || (this.#isGrpc && this.#hasHead)) {
      clearTimeout(this.#gap);
      this.#gap = undefined;
      return;
    }
    if (this.#gap !== undefined) this.#gap.refresh();
    else this.#gap = setTimeout(() => this.#late(), this.request.timeoutMs);
  }

  #drained(): void {
    if (this.#over) return;
    if (!this.#ended) {
      clearTimeout(this.#gap);
      this.#gap = undefined;
    }
    this.handler.onDrain();
  }

  #late(cause?: CallerDeadline): void {
    if (this.#over) return;
    const stream = this.#stream;
    this.#owner.silent(this);
    this.fail(new GatewayError("upstream_timeout", "The service did not answer in time.", { cause }));
    if (stream === undefined) this.#owner.forget(this);
    else takeBack(stream, this.#resets);
  }

  #finish(): void {
    this.#over = true;
    this.#pending = [];
    clearTimeout(this.#gap);
    clearTimeout(this.#deadline);
  }
}

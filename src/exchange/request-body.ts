// The client's request body on its way to the upstream: counted, bounded, held up when the upstream is slow, given up
// when the client stalls. Read whole only for a plugin that asks.
import { GatewayError } from "../plugin-api/errors.ts";
import { countForGc } from "../v8/gc-pacing.ts";
import type { ClientLimits } from "../client/client-limits.ts";
import type { Paced } from "../client/pace.ts";
import { inOwnMemory } from "../http1/own-memory.ts";
import { Parts } from "../http1/parts.ts";
import type { RequestHead } from "../http1/request-head.ts";
import { stalledError, tooLarge } from "./body-errors.ts";
import { LateBody } from "./late-body.ts";
import { ReservedMemory } from "./reserved-memory.ts";
import type { Messages } from "./messages.ts";
import type { BodyHandler, ServerStream } from "./server-stream.ts";
import type { TrailerRules } from "../http1/trailers.ts";
import type { UpstreamCall } from "../upstream/transport.ts";

export interface BodyEvents {
  /** It is too large or stalled; what was sent of it must not count as complete. */
  bodyFailed(error: GatewayError): void;
}

/** Who reads it whole. */
interface Reader {
  readonly limit: number;
  resolve(body: Buffer): void;
  reject(error: GatewayError): void;
}

export class RequestBody implements Paced, BodyHandler {
  bytes = 0;
  setIndex = -1;
  windowMs = 0;
  windowBegan = 0;
  /** The body in memory, after `readWhole`. */
  whole: Buffer | undefined = undefined;
  /** Counted as they go to the upstream. */
  messages: Messages | undefined = undefined;
  readonly #stream: ServerStream;
  readonly #head: RequestHead;
  readonly #limits: ClientLimits;
  readonly #events: BodyEvents;
  #memory: ReservedMemory | undefined = undefined;
  #call: UpstreamCall | undefined = undefined;
  #trailers: TrailerRules | undefined = undefined;
  #stopped = false;
  #reading: Promise<Buffer> | undefined = undefined;
  #reader: Reader | undefined = undefined;
  // What was read of a body that turned out too large for its reader; it goes to the upstream first.
  readonly #read = new Parts();
  #awaited = false;
  #continued = false;
  /** What still comes is read for nobody; called when nothing does. */
  #dropped: (() => void) | undefined = undefined;
  #late: LateBody | undefined = undefined;
  #paced = true;

  constructor(stream: ServerStream, head: RequestHead, limits: ClientLimits, events: BodyEvents) {
    this.#stream = stream;
    this.#head = head;
    this.#limits = limits;
    this.#events = events;
  }

  /** Everything the client announced has been read. */
  get complete(): boolean {
    return this.#stream.complete;
  }

  /** The client waits for `100 Continue` before it sends it. */
  get expectsContinue(): boolean {
    return this.#head.expectsContinue && !this.#continued;
  }

  /** Somebody is reading it whole and is not through yet. */
  get reading(): Promise<Buffer> | undefined {
    return this.#reading;
  }

  /** Streams into the call from now on, and then those trailers that may go on. */
  pipeTo(call: UpstreamCall, trailers: TrailerRules): void {
    this.#call = call;
    this.#trailers = trailers;
    const read = this.#read.take();
    let more = true;
    for (const chunk of read) {
      this.messages?.follow(chunk);
      more = call.write(chunk);
    }
    this.#stream.read(this);
    if (!more) return;
    this.#await(true);
    // A reader has left it paused.
    if (read.length > 0) this.#stream.resume();
  }

  /** The upstream can take more. */
  resume(): void {
    if (this.#stopped) return;
    this.#await(true);
    this.#stream.resume();
  }

  /** Nothing more goes to the upstream; what still comes is dropped. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#call !== undefined) {
      this.#await(false);
      this.#stream.resume();
    }
  }

  /** The service has its answer ready, and wants no more of it: what still comes counts against the largest body. */
  answered(): void {
    if (!this.complete) this.#late = new LateBody(this.#stream);
    this.stop();
  }

  /** Drops what still comes, for as long as a connection may linger, then calls back once. */
  discard(done: () => void): void {
    this.stop();
    this.#dropped = this.#limits.lingering.add(this.#stream, done);
    this.#stream.read(this);
    this.#stream.resume();
  }

  /** The client may take its time: its stream and the answer's run side by side, or the policy says so. */
  unpace(): void {
    this.#paced = false;
    this.#limits.pace.leave(this);
  }

  /**
   * Takes in the body, or the beginning of a larger one, before anybody is asked for an answer.
   * @param client whose memory it is
   * @returns undefined when there is nothing to wait for, or no memory; rejects as `readWhole` does
   */
  takeIn(client: string, announcedBytes: number, mostBytes: number): Promise<Buffer> | undefined {
    if (this.#memory !== undefined || this.bytes > 0 || this.whole !== undefined || this.#stopped)
      return undefined;
    const bytes = Math.min(announcedBytes, mostBytes);
    return bytes > 0 && this.reserve(client, bytes) ? this.#collect(bytes) : undefined;
  }

  /** Takes memory for the body, or some of it, until the exchange is over. @returns false = there is none */
  reserve(client: string, bytes: number): boolean {
    this.#memory ??= new ReservedMemory(this.#limits.buffers, client);
    return this.#memory.take(bytes);
  }

  /** The exchange is over. */
  settle(): void {
    this.#limits.pace.leave(this);
    this.#memory?.giveBack();
    if (this.#late !== undefined && !this.complete && this.#dropped === undefined) this.#linger(this.#late);
  }

  moved(): number {
    return this.bytes;
  }

  tooSlow(): void {
    if (this.#awaited) this.onStall();
  }

  /**
   * Reads it into memory, however many ask for it; the client is told to send it. Rejects with `payload_too_large` (it can be streamed still),
   * `request_timeout`, `malformed_request` when the client breaks off, or Error when it is on its way already.
   */
  async readWhole(maxBytes: number): Promise<Buffer> {
    if (!(maxBytes >= 0)) throw new RangeError("A body is read with a limit in bytes.");
    const { body, contentLength, expectsContinue } = this.#head;
    if (body === "none") return Buffer.alloc(0);
    if (expectsContinue && !this.#continued && contentLength <= maxBytes) {
      this.#continued = true;
      this.#stream.interim(100, []);
    }
    const { maxBodyBytes } = this.#limits;
    const limit = maxBodyBytes > 0 ? Math.min(maxBytes, maxBodyBytes) : maxBytes;
    // Whoever reads it already has a limit of its own.
    while (this.#reading !== undefined) await this.#reading.catch(() => {});
    if (this.bytes > limit || contentLength > limit) throw tooLarge(limit);
    if (this.whole !== undefined) return this.whole;
    if (this.#call !== undefined || this.#stopped) throw new Error("The body is on its way already.");
    return this.#collect(limit);
  }

  /** @throws Error when nobody has read it, or it is on its way */
  replaceWhole(body: Buffer): void {
    if (this.whole === undefined || this.#call !== undefined)
      throw new Error("A body is replaced once it was read, and before it is sent.");
    this.whole = body;
  }

  onData(chunk: Buffer): void {
    const reader = this.#reader;
    if (reader !== undefined) {
      this.bytes += chunk.length;
      this.#read.add(inOwnMemory(chunk));
      if (this.bytes > reader.limit) this.#readFailed(tooLarge(reader.limit));
    } else if (!this.#stopped && this.#call !== undefined) this.#forward(chunk, this.#call);
    else if (this.#late !== undefined) {
      this.bytes += chunk.length;
      if (this.#isTooLarge) this.#late.tooLarge();
    }
  }

  onEnd(trailers: readonly string[]): void {
    const reader = this.#takeReader();
    if (reader !== undefined) {
      this.whole = Buffer.concat(this.#read.take());
      reader.resolve(this.whole);
    } else if (!this.#stopped) {
      this.#await(false);
      this.#call?.end(this.#trailers?.ofRequest(trailers, this.#head));
    }
    this.#dropped?.();
  }

  /** The client has left: what was forwarded ends with the exchange. */
  onBroken(): void {
    this.#readFailed(new GatewayError("malformed_request", "The body broke off."));
    this.#dropped?.();
  }

  onStall(): void {
    if (this.#reader !== undefined) this.#readFailed(stalledError());
    else this.#failed(stalledError());
  }

  #collect(limit: number): Promise<Buffer> {
    const reading = new Promise<Buffer>((resolve, reject) => {
      this.#reader = { limit, resolve, reject };
    });
    // Before anything comes: a body that has broken off says so at once.
    this.#reading = reading;
    this.#stream.read(this);
    if (this.#reading === reading) {
      this.#stream.resume();
      this.#await(true);
    }
    return reading;
  }

  #takeReader(): Reader | undefined {
    const reader = this.#reader;
    if (reader === undefined) return undefined;
    this.#await(false);
    this.#reader = undefined;
    this.#reading = undefined;
    return reader;
  }

  #readFailed(error: GatewayError): void {
    if (this.#reader === undefined) return;
    // It may still be streamed.
    if (!this.#stopped) this.#stream.pause();
    this.#takeReader()?.reject(error);
  }

  #forward(chunk: Buffer, call: UpstreamCall): void {
    this.bytes += chunk.length;
    countForGc(chunk.length);
    if (this.#isTooLarge) {
      this.#failed(tooLarge(this.#limits.maxBodyBytes));
      return;
    }
    this.messages?.follow(chunk);
    if (call.write(chunk)) return;
    this.#stream.pause();
    // Now it is the upstream that is waited for: its own time limits count.
    this.#await(false);
  }

  get #isTooLarge(): boolean {
    const { maxBodyBytes } = this.#limits;
    return maxBodyBytes > 0 && this.bytes > maxBodyBytes;
  }

  #linger(late: LateBody): void {
    this.discard(() => late.lingered());
    late.answerOut();
    if (this.#isTooLarge) late.holdUp();
  }

  #failed(error: GatewayError): void {
    this.stop();
    this.#events.bodyFailed(error);
  }

  /** Whether it is the client that is waited for from now on. */
  #await(awaited: boolean): void {
    this.#awaited = awaited;
    this.#stream.awaitBody(awaited ? this.#limits.stallMs : 0);
    if (!awaited) this.#limits.pace.leave(this);
    else if (this.#paced) this.#limits.pace.watch(this);
  }
}

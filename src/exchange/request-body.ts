// Passes the client's request body to the upstream. It is counted, bounded, paused when the upstream is slow, and given
// up when the client stalls. It is read whole only for a plugin that asks for it.
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
  /** The body is too large or stalled; the part that was sent must not count as complete. */
  bodyFailed(error: GatewayError): void;
}

/** A reader of the whole body. */
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
  /** Counts the messages that go to the upstream. */
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
  // Chunks read for a reader whose limit the body exceeded; they go to the upstream first.
  readonly #read = new Parts();
  #awaited = false;
  #continued = false;
  /** Set while the rest of the body is dropped; called when nothing more comes. */
  #dropped: (() => void) | undefined = undefined;
  #late: LateBody | undefined = undefined;
  #paced = true;

  constructor(stream: ServerStream, head: RequestHead, limits: ClientLimits, events: BodyEvents) {
    this.#stream = stream;
    this.#head = head;
    this.#limits = limits;
    this.#events = events;
  }

  /** The whole announced body has been read. */
  get complete(): boolean {
    return this.#stream.complete;
  }

  /** The client waits for `100 Continue` before it sends the body. */
  get expectsContinue(): boolean {
    return this.#head.expectsContinue && !this.#continued;
  }

  /** Set while the whole body is being read. */
  get reading(): Promise<Buffer> | undefined {
    return this.#reading;
  }

  /** Streams the body into the call from now on, and then the trailers that may be forwarded. */
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
    // A reader has left the stream paused.
    if (read.length > 0) this.#stream.resume();
  }

  /** The upstream can take more. */
  resume(): void {
    if (this.#stopped) return;
    this.#await(true);
    this.#stream.resume();
  }

  /** Sends nothing more to the upstream; the rest of the body is dropped. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#call !== undefined) {
      this.#await(false);
      this.#stream.resume();
    }
  }

  /** The service has answered and wants no more of the body. The rest still counts against the largest allowed body. */
  answered(): void {
    if (!this.complete) this.#late = new LateBody(this.#stream);
    this.stop();
  }

  /** Drops the rest of the body, for as long as a connection may linger, then calls back once. */
  discard(done: () => void): void {
    this.stop();
    this.#dropped = this.#limits.lingering.add(this.#stream, done);
    this.#stream.read(this);
    this.#stream.resume();
  }

  /** Ends the check of the client's pace: both bodies stream side by side, or the policy says so. */
  unpace(): void {
    this.#paced = false;
    this.#limits.pace.leave(this);
  }

  /**
   * Reads the body, or the beginning of a larger one, before the service is asked.
   * @param client the one whose memory budget is used
   * @returns undefined if there is nothing to wait for, or no memory; rejects as `readWhole` does
   */
  takeIn(client: string, announcedBytes: number, mostBytes: number): Promise<Buffer> | undefined {
    if (this.#memory !== undefined || this.bytes > 0 || this.whole !== undefined || this.#stopped)
      return undefined;
    const bytes = Math.min(announcedBytes, mostBytes);
    return bytes > 0 && this.reserve(client, bytes) ? this.#collect(bytes) : undefined;
  }

  /** Reserves memory for the body, or part of it, until the exchange is over. @returns false = there is none */
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
   * Reads the body into memory, for any number of callers, after telling the client to send it. Rejects with
   * `payload_too_large` (the body can still be streamed), `request_timeout`, `malformed_request` if the client breaks
   * off, or Error if the body is already being forwarded.
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
    // An earlier reader may have another limit.
    while (this.#reading !== undefined) await this.#reading.catch(() => {});
    if (this.bytes > limit || contentLength > limit) throw tooLarge(limit);
    if (this.whole !== undefined) return this.whole;
    if (this.#call !== undefined || this.#stopped) throw new Error("The body is on its way already.");
    return this.#collect(limit);
  }

  /** @throws Error if the body was not read whole, or is already being forwarded */
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

  /** The client has left: the forwarded part ends with the exchange. */
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
    // Before anything comes: a broken body reports that at once.
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
    // The body may still be streamed.
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
    // Now the upstream is waited for, with its own time limits.
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

  /** @param awaited whether the client is waited for from now on */
  #await(awaited: boolean): void {
    this.#awaited = awaited;
    this.#stream.awaitBody(awaited ? this.#limits.stallMs : 0);
    if (!awaited) this.#limits.pace.leave(this);
    else if (this.#paced) this.#limits.pace.watch(this);
  }
}

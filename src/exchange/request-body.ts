// The client's request body on its way to the upstream: counted, bounded, held up when the upstream is slow, given up
// when the client stalls. Read whole only for a plugin that asks.
import type { IncomingMessage } from "node:http";
import { GatewayError } from "../plugin-api/errors.ts";
import { noteBodyBytes } from "../v8/body-garbage.ts";
import type { ClientLimits } from "../client/client-limits.ts";
import { dropRest } from "../client/lingering.ts";
import type { Paced } from "../client/pace.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { TrailerRules } from "../http1/trailers.ts";
import type { UpstreamCall } from "../upstream/transport.ts";

export class RequestBody implements Paced {
  bytes = 0;
  place = -1;
  windowMs = 0;
  windowBegan = 0;
  /** The body in memory, after `readWhole`. */
  whole: Buffer | undefined = undefined;
  readonly #message: IncomingMessage;
  readonly #limits: ClientLimits;
  readonly #onFail: (error: GatewayError) => void;
  #call: UpstreamCall | undefined = undefined;
  #stopped = false;
  #reading: Promise<Buffer> | undefined = undefined;
  // What was read of a body that turned out too large for its reader; it goes to the upstream first.
  #read: Buffer[] = [];
  #onStall: (() => void) | undefined = undefined;
  #paced = true;
  /** Bytes of the budget that it holds, and whose. */
  #reserved = 0;
  #client = "";

  /** @param onFail the body is too large or stalled; what was sent of it must not count as complete */
  constructor(message: IncomingMessage, limits: ClientLimits, onFail: (error: GatewayError) => void) {
    this.#message = message;
    this.#limits = limits;
    this.#onFail = onFail;
  }

  /** Everything the client announced has been read. */
  get complete(): boolean {
    return this.#message.complete;
  }

  /** Somebody is reading it whole and is not through yet. */
  get reading(): Promise<Buffer> | undefined {
    return this.#reading;
  }

  /** Streams into the call from now on, and then those trailers that may go on. */
  pipeTo(call: UpstreamCall, trailers: TrailerRules, head: RequestHead): void {
    this.#call = call;
    const message = this.#message;
    const read = this.#read;
    this.#read = [];
    let more = true;
    for (const chunk of read) more = call.write(chunk);
    message.on("data", (chunk: Buffer) => this.#forward(chunk));
    message.once("end", () => {
      if (this.#stopped) return;
      this.#patience(undefined);
      call.end(trailers.ofRequest(message.rawTrailers, head));
    });
    if (!more) return;
    this.#patience(this.#stalled);
    // A reader has left it paused.
    if (read.length > 0) message.resume();
  }

  /** The upstream can take more. */
  resume(): void {
    if (this.#stopped) return;
    this.#patience(this.#stalled);
    this.#message.resume();
  }

  /** Nothing more goes to the upstream; what still comes is dropped. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#call !== undefined) {
      this.#patience(undefined);
      this.#message.resume();
    }
  }

  /** Drops what still comes, for as long as a connection may linger, then calls back once. */
  discard(done: () => void): void {
    this.stop();
    dropRest(this.#message, this.#limits.lingering, done);
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
    if (this.#reserved > 0 || this.bytes > 0 || this.whole !== undefined || this.#stopped) return undefined;
    const bytes = Math.min(announcedBytes, mostBytes);
    if (bytes === 0 || !this.#limits.buffers.take(client, bytes)) return undefined;
    this.#reserved = bytes;
    this.#client = client;
    return (this.#reading = this.#collect(bytes));
  }

  /** The exchange is over. */
  settle(): void {
    this.#limits.pace.leave(this);
    if (this.#reserved > 0) this.#limits.buffers.give(this.#client, this.#reserved);
    this.#reserved = 0;
  }

  moved(): number {
    return this.bytes;
  }

  tooSlow(): void {
    this.#onStall?.();
  }

  /**
   * Reads it into memory, however many ask for it. Rejects with `payload_too_large` (it can be streamed still),
   * `request_timeout`, `malformed_request` when the client breaks off, or Error when it is on its way already.
   * @param announcedBytes its Content-Length; 0 = unknown
   */
  async readWhole(maxBytes: number, announcedBytes = 0): Promise<Buffer> {
    if (!(maxBytes >= 0)) throw new RangeError("A body is read with a limit in bytes.");
    const { maxBodyBytes } = this.#limits;
    const limit = maxBodyBytes > 0 ? Math.min(maxBytes, maxBodyBytes) : maxBytes;
    // Whoever reads it already has a limit of its own.
    while (this.#reading !== undefined) await this.#reading.catch(() => {});
    if (this.bytes > limit || announcedBytes > limit) throw tooLarge(limit);
    if (this.whole !== undefined) return this.whole;
    if (this.#call !== undefined || this.#stopped) throw new Error("The body is on its way already.");
    this.#reading = this.#collect(limit);
    return this.#reading;
  }

  #collect(limit: number): Promise<Buffer> {
    const message = this.#message;
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        message.off("data", take).off("end", end).off("close", broken);
        this.#patience(undefined);
        this.#reading = undefined;
      };
      const fail = (error: GatewayError): void => {
        message.pause();
        settle();
        reject(error);
      };
      const take = (chunk: Buffer): void => {
        this.bytes += chunk.length;
        this.#read.push(chunk);
        if (this.bytes > limit) fail(tooLarge(limit));
      };
      const end = (): void => {
        settle();
        this.whole = Buffer.concat(this.#read);
        this.#read = [];
        resolve(this.whole);
      };
      const broken = (): void => fail(new GatewayError("malformed_request", "The body broke off."));
      if (message.destroyed) {
        broken();
        return;
      }
      message.on("data", take).once("end", end).once("close", broken).resume();
      this.#patience(() => fail(stalledError()));
    });
  }

  #forward(chunk: Buffer): void {
    if (this.#stopped) return;
    this.bytes += chunk.length;
    noteBodyBytes(chunk.length);
    const { maxBodyBytes } = this.#limits;
    if (maxBodyBytes > 0 && this.bytes > maxBodyBytes) {
      this.stop();
      this.#onFail(tooLarge(maxBodyBytes));
      return;
    }
    if (this.#call?.write(chunk) === false) {
      this.#message.pause();
      // Now it is the upstream that is waited for: its own time limits count.
      this.#patience(undefined);
    }
  }

  /**
   * Waits for the client from now on, or (undefined) for somebody else. The socket's own inactivity timer counts from
   * the last byte either way, so it needs no resetting per chunk.
   */
  #patience(onStall: (() => void) | undefined): void {
    const { socket } = this.#message;
    if (socket === null || socket.destroyed) return;
    socket.setTimeout(onStall === undefined ? 0 : this.#limits.stallMs);
    if (onStall === undefined) this.#limits.pace.leave(this);
    else if (this.#paced) this.#limits.pace.watch(this);
    // On the message, not the socket: a timeout that no message or response listens to destroys the connection.
    if (this.#onStall !== undefined) this.#message.removeListener("timeout", this.#onStall);
    this.#onStall = onStall;
    if (onStall !== undefined) this.#message.once("timeout", onStall);
  }

  readonly #stalled = (): void => {
    this.stop();
    this.#onFail(stalledError());
  };
}

function tooLarge(limit: number): GatewayError {
  return new GatewayError("payload_too_large", `The body is larger than ${limit} bytes.`);
}

function stalledError(): GatewayError {
  return new GatewayError("request_timeout", "The body stopped coming, or came too slowly.");
}

// The client's request body on its way to the upstream: counted, bounded, held up when the upstream is slow, given up
// when the client stalls. Read whole only for a plugin that asks.
import type { IncomingMessage } from "node:http";
import { GatewayError } from "../pipeline/errors.ts";
import { noteBodyBytes } from "./body-garbage.ts";
import type { UpstreamCall } from "./upstream/transport.ts";

export interface RequestBodyLimits {
  /** 0 = unlimited. */
  readonly maxBodyBytes: number;
  /** How long a client may send nothing while its body is awaited. */
  readonly clientStallMs: number;
}

// An answer that does not need the body waits this much and this long for its end, so that the close which follows
// does not reset the connection before the client has read the answer (RFC 9112 section 9.6).
const discardBytes = 256 * 1024;
const discardMs = 1_000;

export class RequestBody {
  bytes = 0;
  /** The body in memory, after `readWhole`. */
  whole: Buffer | undefined = undefined;
  readonly #message: IncomingMessage;
  readonly #limits: RequestBodyLimits;
  readonly #onFail: (error: GatewayError) => void;
  #call: UpstreamCall | undefined = undefined;
  #stopped = false;

  /** @param onFail the body is too large or stalled; what was sent of it must not count as complete */
  constructor(message: IncomingMessage, limits: RequestBodyLimits, onFail: (error: GatewayError) => void) {
    this.#message = message;
    this.#limits = limits;
    this.#onFail = onFail;
  }

  /** Everything the client announced has been read. */
  get complete(): boolean {
    return this.#message.complete;
  }

  /** Streams into the call from now on. */
  pipeTo(call: UpstreamCall): void {
    this.#call = call;
    const message = this.#message;
    message.on("data", (chunk: Buffer) => this.#forward(chunk));
    message.once("end", () => {
      if (this.#stopped) return;
      this.#patience(0);
      call.end(message.rawTrailers);
    });
    this.#patience(this.#limits.clientStallMs);
  }

  /** The upstream can take more. */
  resume(): void {
    if (this.#stopped) return;
    this.#patience(this.#limits.clientStallMs);
    this.#message.resume();
  }

  /** Nothing more goes to the upstream; what still comes is dropped. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#call !== undefined) {
      this.#patience(0);
      this.#message.resume();
    }
  }

  /** Drops what still comes, within bounds, then calls back once. */
  discard(done: () => void): void {
    this.stop();
    const message = this.#message;
    let left = discardBytes;
    const finish = (): void => {
      clearTimeout(timer);
      message.off("data", drop).off("end", finish).off("close", finish);
      done();
    };
    const timer = setTimeout(finish, discardMs);
    const drop = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left < 0) finish();
    };
    message.on("data", drop).once("end", finish).once("close", finish);
  }

  /** Rejects with `payload_too_large`, `request_timeout`, or `malformed_request` when the client breaks off. */
  async readWhole(maxBytes: number): Promise<Buffer> {
    if (this.whole !== undefined) return this.whole;
    const limit = this.#limits.maxBodyBytes > 0 ? Math.min(maxBytes, this.#limits.maxBodyBytes) : maxBytes;
    const chunks: Buffer[] = [];
    this.#message.socket.setTimeout(this.#limits.clientStallMs);
    try {
      for await (const chunk of this.#message as AsyncIterable<Buffer>) {
        this.bytes += chunk.length;
        if (this.bytes > limit)
          throw new GatewayError("payload_too_large", `The body is larger than ${limit} bytes.`);
        chunks.push(chunk);
      }
    } catch (error) {
      if (error instanceof GatewayError) throw error;
      throw new GatewayError("malformed_request", "The body broke off.", { cause: error });
    } finally {
      this.#patience(0);
    }
    this.whole = Buffer.concat(chunks);
    return this.whole;
  }

  #forward(chunk: Buffer): void {
    if (this.#stopped) return;
    this.bytes += chunk.length;
    noteBodyBytes(chunk.length);
    const { maxBodyBytes } = this.#limits;
    if (maxBodyBytes > 0 && this.bytes > maxBodyBytes) {
      this.stop();
      this.#onFail(new GatewayError("payload_too_large", `The body is larger than ${maxBodyBytes} bytes.`));
      return;
    }
    if (this.#call?.write(chunk) === false) {
      this.#message.pause();
      // Now it is the upstream that is waited for: its own time limits count.
      this.#patience(0);
    }
  }

  /** The socket's own inactivity timer counts from the last byte either way, so it needs no resetting per chunk. */
  #patience(timeoutMs: number): void {
    const { socket } = this.#message;
    if (socket === null || socket.destroyed) return;
    socket.setTimeout(timeoutMs);
    // On the message, not the socket: a timeout that no message or response listens to destroys the connection.
    this.#message.removeListener("timeout", this.#stalled);
    if (timeoutMs > 0) this.#message.once("timeout", this.#stalled);
  }

  readonly #stalled = (): void => {
    this.stop();
    this.#onFail(new GatewayError("request_timeout", "The body stopped coming."));
  };
}

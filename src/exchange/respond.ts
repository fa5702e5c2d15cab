// The only writer to the client: heads, bodies, interim responses, and the reset that tells a broken answer from a
// complete one.
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { mayHaveBody, type LiveResponse } from "../runtime/response.ts";
import { isFinalStatus } from "../runtime/verdict.ts";
import { BodyTransforms } from "./body-transforms.ts";
import { shareKey } from "../client/client-address.ts";
import type { ClientLimits } from "../client/client-limits.ts";
import { isAlwaysHopByHop } from "../http1/hop-by-hop.ts";
import { pairs, writeInterim } from "../http1/interim.ts";
import { resetConnection } from "../http1/reset.ts";
import type { Taker } from "../client/taking-pace.ts";
import { handedOver } from "../client/unacknowledged.ts";

export interface WriterEvents {
  /** The client can take more body. */
  onWritable(): void;
  /** The response cannot be completed: a body transform failed, or the body is not what the head announced. */
  onBroken(): void;
}

/** Up to here, copying a body behind its head costs less than a second buffer for the kernel. */
const ONE_WRITE_BYTES = 8 * 1024;

/** How much of an answer may wait for its client, so that the connection to the service is free for others. */
const aheadBytes = 256 * 1024;

/** Writes one response. After `reset` or the client's leaving, everything is a no-op. */
export class ClientWriter implements Taker {
  /** Bytes of content handed to the client. */
  bytes = 0;
  readonly #res: ServerResponse;
  readonly #events: WriterEvents;
  place = -1;
  waitedMs = 0;
  takenBefore = -1;
  handedBefore = 0;
  readonly #limits: ClientLimits;
  readonly #client: string;
  #response: LiveResponse | undefined = undefined;
  #transforms: BodyTransforms | undefined = undefined;
  #bodiless = false;
  /** Bytes that the head announced and that have not come yet. */
  #left = Infinity;
  #over = false;
  #waiting = false;
  /** Only `close` ends the connection. */
  #held = false;
  /** Bytes of the budget that it holds. */
  #reserved = 0;
  /** The head and the first bytes wait for the end of this turn, or of the response. */
  #opening = false;
  #first: Buffer | undefined = undefined;

  /** @param client whose memory a waiting answer takes */
  constructor(res: ServerResponse, events: WriterEvents, limits: ClientLimits, client: string) {
    this.#res = res;
    this.#events = events;
    this.#limits = limits;
    this.#client = client;
  }

  get headSent(): boolean {
    return this.#response !== undefined;
  }

  /** An interim response (RFC 9110 section 15.2); an HTTP/1.0 client gets none. */
  interim(status: number, fields: readonly string[]): void {
    if (!this.headSent) writeInterim(this.#res, status, fields);
  }

  /**
   * Writes the head, and the body when it is in memory.
   * @param close tells the client that the connection ends after this response
   * @throws Error when a plugin or the service made a head that cannot be sent
   */
  head(response: LiveResponse, close: boolean): void {
    const { status, statusText, fields, transforms } = response;
    if (!isFinalStatus(status)) throw new Error(`${status} is no status`);
    this.#bodiless = this.#res.req.method === "HEAD" || !mayHaveBody(status);
    // What the service's Connection named is gone since its head came.
    fields.deleteWhere(isAlwaysHopByHop);
    // RFC 9110 section 8.6 for 204; a length from before a transform would cut the next response off, or into it.
    if (status === 204 || transforms !== undefined) fields.delete("content-length");
    this.#left = this.#bodiless ? Infinity : announcedBytes(fields.get("content-length"));
    // Without chunks there is no place for trailers, and node:http throws at the announcement.
    if (fields.has("trailer") && !this.#willChunk()) fields.delete("trailer");
    if (close) fields.set("Connection", "close");
    if (transforms !== undefined) this.#lead(transforms);
    if (statusText === undefined) this.#res.writeHead(status, fields.toFlat());
    else this.#res.writeHead(status, statusText, fields.toFlat());
    this.#response = response;
    this.#opening = true;
    process.nextTick(open, this);
    if (response.body !== undefined) this.chunk(response.body);
  }

  /** Lets the head go, with what came meanwhile: an event stream's head does not wait for its first event. */
  open(): void {
    if (!this.#opening) return;
    this.#opening = false;
    const first = this.#first;
    this.#first = undefined;
    if (this.#res.destroyed) return;
    const { socket } = this.#res;
    socket?.cork();
    // Not by flushHeaders, which writes the bytes of obs-text fields as UTF-8 (Node 26).
    const taken = first === undefined ? this.#res.write("", "latin1") : this.#res.write(first);
    socket?.uncork();
    if (!taken) this.#awaitClient();
  }

  /** @returns false = wait for `onWritable` */
  chunk(bytes: Buffer): boolean {
    if (bytes.length === 0 || this.#bodiless || this.#over) return true;
    return this.#transforms === undefined ? this.#write(bytes) : this.#transforms.write(bytes);
  }

  /** @param trailers name, value, … */
  end(trailers: readonly string[]): void {
    if (this.#over) return;
    if (this.#transforms === undefined) this.#finish(trailers);
    else this.#transforms.end();
  }

  /** Ends the response, and this side of its connection; `close` ends the connection. */
  endHeld(): void {
    this.#held = true;
    this.end([]);
  }

  /** Everything is handed to the client, but for the last step. */
  get through(): boolean {
    return this.#over;
  }

  close(): void {
    this.#held = false;
    // Otherwise a transform is still at work, and ends the response as any other.
    if (this.#over) this.#res.destroy();
  }

  /** Ends a broken response so that it cannot be taken for a complete one. */
  reset(): void {
    this.abandoned();
    const { socket } = this.#res;
    if (socket !== null) resetConnection(socket);
    this.#res.destroy();
  }

  /** The client left before the end. */
  abandoned(): void {
    this.#over = true;
    this.#response?.discard();
  }

  /** The exchange is over. */
  settle(): void {
    this.#release();
  }

  get socket(): Socket | null {
    return this.#res.socket;
  }

  handed(): number {
    return this.#res.socket === null ? 0 : handedOver(this.#res.socket);
  }

  tooSlow(): void {
    this.#res.socket?.destroy();
  }

  #write(bytes: Buffer): boolean {
    if (this.#res.destroyed) return true;
    this.#left -= bytes.length;
    if (this.#left < 0) {
      this.#events.onBroken();
      return true;
    }
    this.bytes += bytes.length;
    this.#response?.taps?.chunk(bytes);
    if (this.#opening && this.#first === undefined) {
      this.#first = bytes;
      return true;
    }
    this.open();
    if (this.#res.write(bytes)) return true;
    this.#awaitClient();
    return this.#mayRunAhead();
  }

  #mayRunAhead(): boolean {
    if (this.#reserved === 0 && this.#limits.buffers.take(shareKey(this.#client), aheadBytes)) {
      this.#reserved = aheadBytes;
    }
    return this.#res.writableLength < this.#reserved;
  }

  #release(): void {
    this.#limits.taking.leave(this);
    if (this.#reserved > 0) this.#limits.buffers.give(shareKey(this.#client), this.#reserved);
    this.#reserved = 0;
  }

  #awaitClient(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#limits.taking.watch(this);
    this.#res.once("drain", () => {
      this.#waiting = false;
      this.#release();
      if (this.#transforms === undefined) this.#events.onWritable();
      else this.#transforms.resume();
    });
  }

  #finish(trailers: readonly string[]): void {
    if (this.#left > 0 && this.#left < Infinity) {
      this.#events.onBroken();
      return;
    }
    this.#over = true;
    this.#response?.taps?.end();
    // Without its length, the body has an end that node:http has to write.
    if (this.#held && (this.#bodiless || this.#left === 0)) {
      this.open();
      this.#res.socket?.end();
      return;
    }
    if (trailers.length > 0) this.#res.addTrailers(pairs(trailers));
    const first = this.#opening ? this.#first : undefined;
    this.#opening = false;
    this.#first = undefined;
    if (first === undefined) this.#res.end();
    // As text, head and body are one string and leave in one plain write.
    else if (first.length <= ONE_WRITE_BYTES) this.#res.end(first.toString("latin1"), "latin1");
    else this.#res.end(first);
    this.#awaitTaken();
  }

  /** A client that does not even take the rest of a response that is through: nothing else ends the wait for it. */
  #awaitTaken(): void {
    const { socket, writableEnded, writableCorked } = this.#res;
    if (writableEnded && socket !== null && writableCorked === 0 && socket.writableLength > 0) {
      this.#limits.taking.watch(this);
    }
  }

  #lead(transforms: BodyTransforms["streams"]): void {
    if (this.#bodiless) {
      for (const transform of transforms) transform.destroy();
      return;
    }
    this.#transforms = new BodyTransforms(transforms, {
      out: (bytes) => this.#over || this.#write(bytes),
      ended: () => {
        if (!this.#over) this.#finish([]);
      },
      writable: () => this.#events.onWritable(),
      broken: () => {
        if (!this.#over) this.#events.onBroken();
      },
      stallMs: this.#limits.stallMs,
    });
  }

  /** Whether node:http will send the body in chunks with room for trailers. */
  #willChunk(): boolean {
    const { req } = this.#res;
    return req.httpVersionMinor === 1 && !this.#bodiless && this.#left === Infinity;
  }
}

function open(writer: ClientWriter): void {
  writer.open();
}

/** @throws Error when it is not one number: the client would read the body otherwise than it is written */
function announcedBytes(contentLength: string | undefined): number {
  if (contentLength === undefined) return Infinity;
  if (!/^\d{1,15}$/.test(contentLength)) throw new Error("Content-Length is not one number");
  return Number(contentLength);
}

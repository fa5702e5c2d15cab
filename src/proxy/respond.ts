// The only writer to the client: heads, bodies, interim responses, and the reset that tells a broken answer from a
// complete one.
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { mayHaveBody, type LiveResponse } from "../pipeline/response.ts";
import { noteBodyBytes } from "./body-garbage.ts";
import { isHopByHop } from "./hop-by-hop.ts";
import { resetConnection } from "./reset.ts";

export interface WriterEvents {
  /** The client can take more body. */
  onWritable(): void;
  /** A body transform failed: the response cannot be completed. */
  onBroken(): void;
}

/** Writes one response. After `reset` or the client's leaving, everything is a no-op. */
export class ClientWriter {
  /** Bytes of content handed to the client. */
  bytes = 0;
  readonly #res: ServerResponse;
  readonly #events: WriterEvents;
  readonly #stallMs: number;
  #response: LiveResponse | undefined = undefined;
  #first: Duplex | undefined = undefined;
  #waiting = false;

  /** @param stallMs how long a client may take nothing of a body that waits for it */
  constructor(res: ServerResponse, events: WriterEvents, stallMs: number) {
    this.#res = res;
    this.#events = events;
    this.#stallMs = stallMs;
  }

  get headSent(): boolean {
    return this.#response !== undefined;
  }

  /** An interim response (RFC 9110 section 15.2); an HTTP/1.0 client gets none. */
  interim(status: number, fields: readonly string[]): void {
    const { req } = this.#res;
    if (this.headSent || req.httpVersionMinor === 0) return;
    if (status === 100) this.#res.writeContinue();
    else if (status === 102) this.#res.writeProcessing();
    else if (status === 103) this.#earlyHints(fields);
  }

  /**
   * Writes the head, and the body when it is in memory.
   * @param close tells the client that the connection ends after this response
   */
  head(response: LiveResponse, close: boolean): void {
    const { fields } = response;
    fields.deleteWhere(isHopByHop(fields.get("connection")));
    // Without chunks there is no place for trailers, and node:http throws at the announcement.
    if (fields.has("trailer") && !this.#willChunk(response)) fields.delete("trailer");
    if (close) fields.set("Connection", "close");
    if (response.statusText === undefined) this.#res.writeHead(response.status, fields.toFlat());
    else this.#res.writeHead(response.status, response.statusText, fields.toFlat());
    this.#response = response;
    if (response.transforms !== undefined) this.#lead(response.transforms);
    // Head and first bytes leave in one write; an event stream's head does not wait for its first event.
    this.#res.cork();
    process.nextTick(uncork, this.#res);
    if (response.body !== undefined) this.chunk(response.body);
    else this.#res.flushHeaders();
  }

  /** @returns false = wait for `onWritable` */
  chunk(bytes: Buffer): boolean {
    if (bytes.length === 0 || this.#res.req.method === "HEAD") return true;
    if (this.#first === undefined) return this.#write(bytes);
    const more = this.#first.write(bytes);
    if (!more) this.#first.once("drain", () => this.#events.onWritable());
    return more;
  }

  /** @param trailers name, value, … */
  end(trailers: readonly string[]): void {
    if (this.#first === undefined) this.#finish(trailers);
    else this.#first.end();
  }

  /** Ends a broken response so that it cannot be taken for a complete one. */
  reset(): void {
    this.#abortTaps();
    for (const transform of this.#response?.transforms ?? []) transform.destroy();
    const { socket } = this.#res;
    if (socket !== null) resetConnection(socket);
    this.#res.destroy();
  }

  /** The client left before the end. */
  abandoned(): void {
    this.#abortTaps();
    for (const transform of this.#response?.transforms ?? []) transform.destroy();
  }

  #write(bytes: Buffer): boolean {
    if (this.#res.destroyed) return true;
    this.bytes += bytes.length;
    noteBodyBytes(bytes.length);
    for (const tap of this.#response?.taps ?? []) tap.chunk(bytes);
    if (this.#res.write(bytes)) return true;
    this.#awaitClient();
    return false;
  }

  #awaitClient(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    // Without a listener, node:http destroys the connection when the time is over.
    this.#res.socket?.setTimeout(this.#stallMs);
    this.#res.once("drain", () => {
      this.#waiting = false;
      this.#res.socket?.setTimeout(0);
      if (this.#first === undefined) this.#events.onWritable();
      else this.#response?.transforms?.at(-1)?.resume();
    });
  }

  #finish(trailers: readonly string[]): void {
    for (const tap of this.#response?.taps ?? []) tap.end();
    if (this.#response !== undefined) this.#response.taps = undefined;
    if (trailers.length > 0) this.#res.addTrailers(pairs(trailers));
    this.#res.end();
  }

  #lead(transforms: readonly Duplex[]): void {
    const last = transforms.at(-1) as Duplex;
    this.#first = transforms[0];
    transforms.forEach((transform, index) => {
      transform.on("error", () => this.#events.onBroken());
      const next = transforms[index + 1];
      if (next !== undefined) transform.pipe(next);
    });
    last.on("data", (bytes: Buffer) => {
      if (!this.#write(bytes)) last.pause();
    });
    last.once("end", () => this.#finish([]));
  }

  #willChunk({ status, fields }: LiveResponse): boolean {
    const { req } = this.#res;
    return (
      req.httpVersionMinor === 1 &&
      req.method !== "HEAD" &&
      mayHaveBody(status) &&
      !fields.has("content-length")
    );
  }

  #earlyHints(fields: readonly string[]): void {
    const hints: Record<string, string | string[]> = {};
    for (const [name, value] of pairs(fields)) {
      const lower = name.toLowerCase();
      const before = hints[lower];
      hints[lower] = before === undefined ? value : [before, value].flat();
    }
    // node:http accepts hints only with a Link it can parse, and throws at others: a hint is not worth a request.
    try {
      if (hints["link"] !== undefined) this.#res.writeEarlyHints(hints);
    } catch {
      // Left out.
    }
  }

  #abortTaps(): void {
    for (const tap of this.#response?.taps ?? []) tap.abort();
    if (this.#response !== undefined) this.#response.taps = undefined;
  }
}

function uncork(res: ServerResponse): void {
  res.uncork();
}

function pairs(flat: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i] as string, flat[i + 1] as string]);
  return list;
}

// Passes the body of a request on a node:http2 stream to its reader.
import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { BodyHandler } from "../../exchange/server-stream.ts";
import { sizeOf, withoutPseudo } from "../../http2/fields.ts";

const { NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;
const none: readonly string[] = [];

export class Http2RequestBody {
  bytes = 0;
  /** All of the body has come, or no more will come. */
  over = false;
  /** This side has ended the body: the rest of it is not awaited. */
  isCut = false;
  readonly #stream: ServerHttp2Stream;
  readonly #isNone: boolean;
  readonly #maxTrailerBytes: number;
  #handler: BodyHandler | undefined = undefined;
  #trailers: readonly string[] = none;
  #stall: NodeJS.Timeout | undefined = undefined;

  /** @param maxTrailerBytes the limit of a head: over HTTP/1.1, trailers count as part of the head */
  constructor(stream: ServerHttp2Stream, isNone: boolean, maxTrailerBytes: number) {
    this.#stream = stream;
    this.#isNone = isNone;
    this.#maxTrailerBytes = maxTrailerBytes;
  }

  get complete(): boolean {
    return this.#isNone || this.over;
  }

  /** The body has a reader. */
  get isRead(): boolean {
    return this.#handler !== undefined;
  }

  read(handler: BodyHandler): void {
    const isFirst = this.#handler === undefined;
    this.#handler = handler;
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) {
      handler.onBroken();
      return;
    }
    if (!isFirst) return;
    stream.on("trailers", (_trailers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
      // The code that node:http2 uses for trailers beyond its own bounds of 1,000 lines or 64 KiB.
      if (sizeOf(raw) > this.#maxTrailerBytes) stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
      else this.#trailers = withoutPseudo(raw);
    });
    stream.on("data", (chunk: Buffer) => this.#received(chunk));
    stream.on("end", () => this.#ended());
  }

  await(stallMs: number): void {
    clearTimeout(this.#stall);
    this.#stall =
      stallMs === 0 || this.over ? undefined : setTimeout(() => this.#handler?.onStall(), stallMs);
  }

  /** The stream is closed. */
  closed(): void {
    clearTimeout(this.#stall);
    if (!this.complete) this.#handler?.onBroken();
    this.over = true;
  }

  #received(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.#stall?.refresh();
    if (chunk.length > 0) this.#handler?.onData(chunk);
  }

  #ended(): void {
    // An `end` event caused by a reset is no end of the body.
    if (this.over || this.isCut || this.#stream.aborted || this.#stream.rstCode !== NGHTTP2_NO_ERROR) return;
    this.over = true;
    clearTimeout(this.#stall);
    this.#handler?.onEnd(this.#trailers);
  }
}

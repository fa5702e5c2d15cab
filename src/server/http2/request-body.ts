// The body of a request on a stream of node:http2, as its reader is told of it.
import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { BodyHandler } from "../../exchange/server-stream.ts";
import { sizeOf, withoutPseudo } from "../../http2/fields.ts";

const { NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;
const none: readonly string[] = [];

export class Http2RequestBody {
  bytes = 0;
  /** All of it has come, or will not. */
  over = false;
  /** This side has ended it: what is still to come does not. */
  isCut = false;
  readonly #stream: ServerHttp2Stream;
  readonly #isNone: boolean;
  readonly #maxTrailerBytes: number;
  #handler: BodyHandler | undefined = undefined;
  #trailers: readonly string[] = none;
  #stall: NodeJS.Timeout | undefined = undefined;

  /** @param maxTrailerBytes as of a head: over HTTP/1.1 they count as a part of it */
  constructor(stream: ServerHttp2Stream, isNone: boolean, maxTrailerBytes: number) {
    this.#stream = stream;
    this.#isNone = isNone;
    this.#maxTrailerBytes = maxTrailerBytes;
  }

  get complete(): boolean {
    return this.#isNone || this.over;
  }

  /** Somebody reads it. */
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
      // By the code that node:http2 has for those beyond its own bounds, 1,000 lines or 64 KiB.
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

  /** Its stream is closed. */
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
    // The end that a reset makes is none.
    if (this.over || this.isCut || this.#stream.aborted || this.#stream.rstCode !== NGHTTP2_NO_ERROR) return;
    this.over = true;
    clearTimeout(this.#stall);
    this.#handler?.onEnd(this.#trailers);
  }
}

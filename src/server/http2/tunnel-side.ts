// A stream of HTTP/2 that carries a WebSocket (RFC 8441). Its end is the end of a connection over TCP: a stream that is
// ended closes in order, one that is reset with CANCEL does not (section 5).
import http2, { type ServerHttp2Stream } from "node:http2";
import type { DetachedConnection } from "../../exchange/server-stream.ts";

const { NGHTTP2_NO_ERROR, NGHTTP2_CANCEL } = http2.constants;
/** How long a client may take what was written before the end. */
const lingerMs = 1_000;

export class Http2TunnelSide implements DetachedConnection {
  readonly side: ServerHttp2Stream;
  /** It waits in the stream. */
  readonly early = Buffer.alloc(0);
  readonly #head: string[];
  #ending = false;

  /** @param head of the response that says yes */
  constructor(stream: ServerHttp2Stream, head: string[]) {
    this.side = stream;
    this.#head = head;
  }

  accept(taken: () => void): void {
    const { side } = this;
    if (!side.destroyed && !side.closed) {
      try {
        side.respond(this.#head);
      } catch {
        this.reset();
      }
    }
    taken();
  }

  destroy(): void {
    const { side } = this;
    if (this.#ending || side.destroyed || side.closed) return;
    if (!side.writableEnded) {
      this.reset();
      return;
    }
    this.#ending = true;
    // nghttp2 drops frames that wait when their stream is reset. Unread, what still comes would keep it from its close.
    side.resume();
    const limit = setTimeout(() => this.reset(), lingerMs);
    side.once("close", () => clearTimeout(limit));
    const close = (): void => void setImmediate(() => side.close(NGHTTP2_NO_ERROR));
    if (side.writableFinished) close();
    else side.once("finish", close);
  }

  reset(): void {
    this.side.resume();
    this.side.close(NGHTTP2_CANCEL);
  }
}

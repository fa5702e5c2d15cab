// The client's side of a WebSocket over an HTTP/2 stream (RFC 8441). The end of the stream stands for the end of a TCP
// connection: an ended stream is an orderly close, a stream reset with CANCEL is not (section 5).
import http2, { type ServerHttp2Stream } from "node:http2";
import type { DetachedConnection } from "../../exchange/server-stream.ts";

const { NGHTTP2_NO_ERROR, NGHTTP2_CANCEL } = http2.constants;
/** How long a client may take to read what was written before the end. */
const lingerMs = 1_000;

export class Http2TunnelSide implements DetachedConnection {
  readonly side: ServerHttp2Stream;
  /** Empty: early bytes wait in the stream. */
  readonly early = Buffer.alloc(0);
  readonly #head: string[];
  #ending = false;

  /** @param head of the response that accepts the WebSocket */
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
    // Waits until all is written: nghttp2 drops frames that wait when their stream is reset. The stream is read on,
    // since unread bytes would keep it from closing.
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

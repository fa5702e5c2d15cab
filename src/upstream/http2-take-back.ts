// Takes an HTTP/2 request back: resets its stream, within what the service puts up with.
import http2, { type ClientHttp2Stream } from "node:http2";
import type { ResetBudget } from "../http2/reset-budget.ts";

const { NGHTTP2_CANCEL } = http2.constants;
/** How long an unwanted response is still read if the stream may not be reset. */
const drainMs = 10_000;

/**
 * Resets the stream soon, never from within a callback of its session: Node (26) would end the request's body first,
 * and abort the process where the service has ended its side (an assertion in `Http2Stream::OnTrailers`).
 */
export function takeBack(stream: ClientHttp2Stream, resets: ResetBudget | undefined): void {
  setImmediate(reset, stream, resets);
}

function reset(stream: ClientHttp2Stream, resets: ResetBudget | undefined): void {
  if (stream.closed) return;
  if (resets?.take(performance.now()) !== false) {
    stream.close(NGHTTP2_CANCEL);
    return;
  }
  // The stream is not ended: the part of the request's body that was sent must not count as complete.
  stream.resume();
  const limit = setTimeout(() => stream.close(NGHTTP2_CANCEL), drainMs).unref();
  stream.once("close", () => clearTimeout(limit));
}

// Connections of clients that speak HTTP/2, with their limits, and how they end.
import http2, { type Http2Session, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { http2Head } from "../../http2/request-head.ts";
import { ResetBudget } from "../../http2/reset-budget.ts";
import { GatewayError } from "../../plugin-api/errors.ts";
import { Http2ServerStream } from "./stream.ts";

export interface Http2Options {
  readonly maxHeaderBytes: number;
  /** Idle connections are closed after that. */
  readonly keepAliveMs: number;
  /** Most requests of one connection at a time. */
  readonly http2Streams: number;
}

export interface Http2Events {
  onRequest(stream: Http2ServerStream): void;
  /** A request that was read, and goes no further. */
  onRefused(stream: Http2ServerStream, error: GatewayError): void;
  /** A connection was ended for what it did. */
  onMisuse(reason: string, connection: Socket): void;
}

const { NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;
/** The highest id: streams that are on their way are served (RFC 9113 section 6.8). */
const anyStream = 2 ** 31 - 1;
/** Of a stream, of what its client may send before it is read. */
const windowBytes = 262_144;
/** Requests that a client may take back. */
const resets = { burst: 100, perSecond: 10 };

interface Open {
  readonly session: ServerHttp2Session;
  readonly connection: Socket;
  readonly resets: ResetBudget;
  streams: number;
}

export class Http2Sessions {
  readonly #server: http2.Http2Server;
  readonly #options: Http2Options;
  readonly #events: Http2Events;
  readonly #open = new Map<Http2Session, Open>();
  /** Whose session is about to be made: `connection` is handled at once. */
  #arriving: Socket | undefined;
  #draining = false;

  constructor(options: Http2Options, events: Http2Events) {
    this.#options = options;
    this.#events = events;
    this.#server = http2.createServer({
      settings: {
        maxConcurrentStreams: options.http2Streams,
        maxHeaderListSize: options.maxHeaderBytes,
        initialWindowSize: windowBytes,
        enablePush: false,
      },
      // One more than fit is enough to see that it is too many.
      maxHeaderListPairs: 1_000,
      maxSettings: 32,
      maxOutstandingPings: 10,
      maxSessionInvalidFrames: 100,
      maxSessionMemory: 16,
    });
    this.#server.on("session", (session) => this.#began(session));
    this.#server.on("stream", (stream: ServerHttp2Stream, _headers: unknown, _flags: number, raw: string[]) =>
      this.#request(stream, raw),
    );
    this.#server.on("sessionError", () => {});
  }

  /** Takes a connection over whose next bytes are the preface, or that agreed on `h2`. */
  accept(connection: Socket): void {
    this.#arriving = connection;
    this.#server.emit("connection", connection);
    this.#arriving = undefined;
  }

  /** Tells clients to open other connections; what comes until they do is served. */
  beginDrain(): void {
    this.#draining = true;
    for (const { session } of this.#open.values()) session.goaway(NGHTTP2_NO_ERROR, anyStream);
  }

  /** No further request is taken; those that run end. */
  close(): void {
    for (const { session } of this.#open.values()) session.close();
  }

  destroy(): void {
    for (const { session } of this.#open.values()) session.destroy();
  }

  #began(session: ServerHttp2Session): void {
    const connection = this.#arriving;
    if (connection === undefined) {
      session.destroy();
      return;
    }
    const open: Open = {
      session,
      connection,
      resets: new ResetBudget(resets, performance.now()),
      streams: 0,
    };
    this.#open.set(session, open);
    // Without a listener it would end the process.
    session.on("error", (error) => this.#failed(open, error));
    session.on("close", () => this.#open.delete(session));
    session.setTimeout(this.#options.keepAliveMs, () => {
      if (open.streams === 0) session.close();
    });
    if (this.#draining) session.goaway(NGHTTP2_NO_ERROR, anyStream);
  }

  #request(stream: ServerHttp2Stream, raw: readonly string[]): void {
    const open = stream.session && this.#open.get(stream.session);
    if (open === undefined) return;
    open.streams += 1;
    stream.once("close", () => {
      open.streams -= 1;
      this.#left(open, stream);
    });
    const head = http2Head(raw, stream.endAfterHeaders);
    const server = new Http2ServerStream(stream, open.connection, head);
    const tooLarge = sizeOf(raw) > this.#options.maxHeaderBytes;
    const flaw = tooLarge
      ? new GatewayError("fields_too_large", "The request head is too large.")
      : head.flaw;
    if (flaw === undefined) this.#events.onRequest(server);
    else this.#events.onRefused(server, flaw);
  }

  /** Rapid reset (CVE-2023-44487): a client that takes its requests back costs as much as one that waits for answers. */
  #left({ session, connection, resets }: Open, stream: ServerHttp2Stream): void {
    const isTakenBack = stream.rstCode !== NGHTTP2_NO_ERROR && stream.aborted;
    if (!isTakenBack || resets.take(performance.now()) || session.destroyed) return;
    this.#events.onMisuse("takes back more requests than it may", connection);
    session.goaway(NGHTTP2_ENHANCE_YOUR_CALM);
    session.destroy();
  }

  #failed({ connection }: Open, error: NodeJS.ErrnoException): void {
    if (error.code === "ECONNRESET" || error.code === "EPIPE") return;
    this.#events.onMisuse(error.code ?? error.message, connection);
  }
}

/** As a setting bounds it for HTTP/1.1, near enough: names, values, and four bytes a line. */
function sizeOf(raw: readonly string[]): number {
  let bytes = 0;
  for (const text of raw) bytes += text.length + 2;
  return bytes;
}

// A `ServerStream` over one stream of node:http2.
import http2, { type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { peerOf } from "../../client/peer.ts";
import type {
  BodyHandler,
  DetachedConnection,
  ServerStream,
  StreamHandler,
} from "../../exchange/server-stream.ts";
import { fieldObject, withSent } from "../../http2/fields.ts";
import type { Http2Head } from "../../http2/request-head.ts";
import type { ClientTls } from "../../plugin-api/contract.ts";
import { clientTlsOf } from "../http1/client-tls.ts";
import { checkSendable } from "../http1/sendable.ts";
import { Http2RequestBody } from "./request-body.ts";
import { Http2TunnelSide } from "./tunnel-side.ts";

const { NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR } = http2.constants;
const none: readonly string[] = [];
/** The highest status that node:http2 writes (Node 26). */
const lastStatus = 599;
const noWebSocket = 502;

export class Http2ServerStream implements ServerStream {
  readonly method: string;
  readonly target: string;
  readonly httpVersion = "2.0";
  readonly fields: readonly string[];
  readonly framing: Http2Head["framing"];
  readonly upgrades: boolean;
  readonly shared = true;
  readonly socket = null;
  bytesWritten = 0;
  readonly #stream: ServerHttp2Stream;
  readonly #connection: Socket;
  #handler: StreamHandler | undefined = undefined;
  readonly #body: Http2RequestBody;
  #status = 0;
  /** The head, until the end of this turn, the first bytes or the end: a response without content is then one frame. */
  #held: string[] | undefined = undefined;
  #trailers: readonly string[] = none;
  #isBlocked = false;
  /** `#ended`: `end` was called. `#finished`: the whole response is with the connection. */
  #ended = false;
  #finished = false;
  /** Trailers follow the body, or only its end. */
  #waitsForTrailers = false;

  /** @param stream its errors already have a listener: only its `close` matters here */
  constructor(stream: ServerHttp2Stream, connection: Socket, head: Http2Head, maxTrailerBytes: number) {
    this.#stream = stream;
    this.#connection = connection;
    this.method = head.method;
    this.target = head.target;
    this.fields = head.fields;
    this.framing = head.framing;
    this.upgrades = head.upgrades;
    this.#body = new Http2RequestBody(stream, head.framing === "none", maxTrailerBytes);
    stream.on("close", () => this.#closed());
    stream.on("finish", () => this.left());
    // Unread, an empty body would keep the stream from closing.
    if (head.framing === "none" && !head.upgrades) stream.resume();
  }

  get peer(): string {
    return peerOf(this.#connection);
  }

  get tls(): ClientTls | undefined {
    return clientTlsOf(this.#connection);
  }

  get complete(): boolean {
    return this.#body.complete;
  }

  get bytesRead(): number {
    return this.#body.bytes;
  }

  get status(): number {
    return this.#status;
  }

  get finished(): boolean {
    return this.#finished;
  }

  get destroyed(): boolean {
    return this.#body.isCut || this.#stream.destroyed || this.#stream.closed;
  }

  /** The client has ended the stream, by whatever frame, before the response was out. */
  get takenBack(): boolean {
    return !this.#finished && !this.#body.isCut;
  }

  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  open(handler: StreamHandler): void {
    this.#handler = handler;
  }

  read(handler: BodyHandler): void {
    this.#body.read(handler);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  awaitBody(stallMs: number): void {
    this.#body.await(stallMs);
  }

  interim(status: number, fields: readonly string[]): void {
    const stream = this.#stream;
    if (this.#status !== 0 || stream.destroyed || stream.closed) return;
    try {
      stream.additionalHeaders({ ":status": String(status), ...fieldObject(fields) });
    } catch {
      // A hint that cannot be sent is left out: the final response counts.
    }
  }

  takesTrailers(isSized: boolean): boolean {
    return !isSized;
  }

  respond(status: number, _statusText: string | undefined, fields: readonly string[]): void {
    // The reason is checked, too: what HTTP/1.1 cannot send is a fault here as well.
    checkSendable(_statusText, fields);
    if (status > lastStatus) throw new Error(`${status} is no status of HTTP/2`);
    // A client that asked for a WebSocket takes any 2xx as its acceptance (RFC 8441 section 4).
    this.#status = this.upgrades && status < 300 ? noWebSocket : status;
    this.#held = withSent([":status", String(this.#status)], fields);
    process.nextTick(release, this);
  }

  write(bytes: Buffer): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return true;
    this.release();
    this.bytesWritten += bytes.length;
    if (stream.write(bytes)) return true;
    if (this.#isBlocked) return false;
    this.#isBlocked = true;
    stream.once("drain", () => {
      this.#isBlocked = false;
      this.#handler?.onWritable();
    });
    this.#handler?.onBlocked();
    return false;
  }

  /** Sends the head. */
  release(): void {
    this.#sendHead(false);
  }

  end(trailers: readonly string[]): void {
    checkSendable(undefined, trailers);
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    this.#trailers = trailers;
    this.#ended = true;
    const endsAtOnce = this.#held !== undefined && trailers.length === 0;
    this.#sendHead(endsAtOnce);
    if (!endsAtOnce) stream.end();
    // Whatever the client takes is written in this turn.
    if (stream.writableLength > 0) setImmediate(look, this);
  }

  /** Reports a client that does not take the rest of a complete response. */
  look(): void {
    if (!this.#finished && !this.#isBlocked && this.#stream.writableLength > 0) this.#handler?.onBlocked();
  }

  endHalf(): void {
    if (!this.#stream.writableEnded) this.end(none);
  }

  /**
   * A client that still sends is told to stop (RFC 9113 section 8.1), once its response is written: nghttp2 drops frames
   * that wait when their stream is reset.
   */
  destroy(): void {
    if (this.#ended && this.#body.over) return;
    this.release();
    this.#body.isCut = true;
    if (this.#ended) setImmediate(() => this.#stream.close(NGHTTP2_NO_ERROR));
    else this.#stream.close(NGHTTP2_NO_ERROR);
  }

  reset(): void {
    this.#held = undefined;
    this.#ended = false;
    this.#body.isCut = true;
    this.#stream.close(NGHTTP2_INTERNAL_ERROR);
  }

  detach(fields: readonly string[]): DetachedConnection {
    if (!this.upgrades) throw new Error("not an upgrade");
    checkSendable(undefined, fields);
    // Only HTTP/1.1 has this proof (RFC 8441 section 5).
    const head = withSent([":status", "200"], fields, "sec-websocket-accept");
    this.#handler = undefined;
    // From now on the stream carries a tunnel: its end is not the end of a request body.
    this.#body.isCut = true;
    return new Http2TunnelSide(this.#stream, head);
  }

  #sendHead(isWhole: boolean): void {
    const head = this.#held;
    this.#held = undefined;
    const stream = this.#stream;
    if (head === undefined || stream.destroyed || stream.closed) return;
    const mayHaveTrailers = !isWhole && !head.includes("content-length") && this.method !== "HEAD";
    for (const text of head) this.bytesWritten += text.length;
    this.#waitsForTrailers = mayHaveTrailers;
    if (mayHaveTrailers) stream.on("wantTrailers", () => this.#sendTrailers());
    this.#try(() => stream.respond(head, { endStream: isWhole, waitForTrailers: mayHaveTrailers }));
  }

  /** Resets the stream if node:http2 refuses to write: the error would be thrown where nothing catches it. */
  #try(write: () => void): void {
    try {
      write();
    } catch {
      this.reset();
    }
  }

  #sendTrailers(): void {
    // Without trailers, the end of the body is then a frame of its own.
    this.#try(() => this.#stream.sendTrailers(fieldObject(this.#trailers)));
    this.#waitsForTrailers = false;
    process.nextTick(left, this);
  }

  /** Called when the whole response is with the connection. */
  left(): void {
    if (!this.#ended || this.#finished || this.#waitsForTrailers) return;
    this.#finished = true;
    // Nobody reads the rest of the request body.
    if (!this.#body.over && !this.#body.isRead) setImmediate(() => this.#stream.close(NGHTTP2_NO_ERROR));
    this.#over();
  }

  #over(): void {
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onClose();
  }

  #closed(): void {
    this.#body.closed();
    const { rstCode, aborted, writableLength } = this.#stream;
    // A stream that both sides have ended may close before it emits `finish`.
    if (this.#ended && !this.#body.isCut && !aborted && rstCode === NGHTTP2_NO_ERROR && writableLength === 0)
      this.#finished = true;
    this.#over();
  }
}

const look = (stream: Http2ServerStream): void => stream.look();
const left = (stream: Http2ServerStream): void => stream.left();
const release = (stream: Http2ServerStream): void => stream.release();

// A `ServerStream` over one stream of node:http2.
import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { plainAddress } from "../../client/client-address.ts";
import type {
  BodyHandler,
  DetachedConnection,
  ServerStream,
  StreamHandler,
} from "../../exchange/server-stream.ts";
import { fieldObject, sentFields, withoutPseudo } from "../../http2/fields.ts";
import type { Http2Head } from "../../http2/request-head.ts";
import type { ClientTls } from "../../plugin-api/contract.ts";
import { clientTlsOf } from "../http1/client-tls.ts";
import { checkSendable } from "../http1/sendable.ts";

const { NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR } = http2.constants;
const none: readonly string[] = [];
/** What node:http2 writes (Node 26). */
const lastStatus = 599;

export class Http2ServerStream implements ServerStream {
  readonly method: string;
  readonly target: string;
  readonly httpVersion = "2.0";
  readonly fields: readonly string[];
  readonly framing: Http2Head["framing"];
  readonly upgrades = false;
  readonly shared = true;
  readonly socket = null;
  bytesRead = 0;
  bytesWritten = 0;
  readonly #stream: ServerHttp2Stream;
  readonly #connection: Socket;
  #handler: StreamHandler | undefined = undefined;
  #body: BodyHandler | undefined = undefined;
  #bodyOver = false;
  #bodyTrailers: readonly string[] = none;
  #stall: NodeJS.Timeout | undefined = undefined;
  #status = 0;
  /** The head, which waits for the end of this turn, the first bytes or the end: a response without content is one frame. */
  #held: string[] | undefined = undefined;
  #trailers: readonly string[] = none;
  #isBlocked = false;
  /** The end of the response was asked for, and it is out. */
  #ended = false;
  #finished = false;
  /** This side has ended it: what is still to come of the request does not. */
  #isCut = false;
  /** Something follows the body, if only its end. */
  #waitsForTrailers = false;

  constructor(stream: ServerHttp2Stream, connection: Socket, head: Http2Head) {
    this.#stream = stream;
    this.#connection = connection;
    this.method = head.method;
    this.target = head.target;
    this.fields = head.fields;
    this.framing = head.framing;
    // What it fails by is told by its close.
    stream.on("error", () => {});
    stream.on("close", () => this.#closed());
    stream.on("finish", () => this.left());
    // Unread, a body of nothing would keep the stream from its close.
    if (head.framing === "none") stream.resume();
  }

  get peer(): string {
    return plainAddress(this.#connection.remoteAddress ?? "");
  }

  get tls(): ClientTls | undefined {
    return clientTlsOf(this.#connection);
  }

  get complete(): boolean {
    return this.framing === "none" || this.#bodyOver;
  }

  get status(): number {
    return this.#status;
  }

  get finished(): boolean {
    return this.#finished;
  }

  get destroyed(): boolean {
    return this.#isCut || this.#stream.destroyed || this.#stream.closed;
  }

  /** Its client has ended it, in whatever words, before the response was out. */
  get takenBack(): boolean {
    return !this.#finished && !this.#isCut;
  }

  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  open(handler: StreamHandler): void {
    this.#handler = handler;
  }

  read(handler: BodyHandler): void {
    const isFirst = this.#body === undefined;
    this.#body = handler;
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) {
      handler.onBroken();
      return;
    }
    if (!isFirst) return;
    stream.on("trailers", (_trailers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
      this.#bodyTrailers = withoutPseudo(raw);
    });
    stream.on("data", (chunk: Buffer) => this.#received(chunk));
    stream.on("end", () => this.#bodyEnded());
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  awaitBody(stallMs: number): void {
    clearTimeout(this.#stall);
    this.#stall =
      stallMs === 0 || this.#bodyOver ? undefined : setTimeout(() => this.#body?.onStall(), stallMs);
  }

  interim(status: number, fields: readonly string[]): void {
    const stream = this.#stream;
    if (this.#status !== 0 || stream.destroyed || stream.closed) return;
    try {
      stream.additionalHeaders({ ":status": String(status), ...fieldObject(fields) });
    } catch {
      // One that cannot be sent is left out: the final response says what counts.
    }
  }

  takesTrailers(isSized: boolean): boolean {
    return !isSized;
  }

  respond(status: number, _statusText: string | undefined, fields: readonly string[]): void {
    // The reason is checked, too: what cannot be sent over HTTP/1.1 is a fault here as there.
    checkSendable(_statusText, fields);
    if (status > lastStatus) throw new Error(`${status} is no status of HTTP/2`);
    const head = [":status", String(status)];
    for (const [name, value] of sentFields(fields)) head.push(name, value);
    this.#status = status;
    this.#held = head;
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

  /** Lets the head go. */
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
    // Whatever a client takes is written in this turn.
    if (stream.writableLength > 0) setImmediate(look, this);
  }

  /** A client may not take the rest of a response that is through. */
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
    if (this.#ended && this.#bodyOver) return;
    this.release();
    this.#isCut = true;
    if (this.#ended) setImmediate(() => this.#stream.close(NGHTTP2_NO_ERROR));
    else this.#stream.close(NGHTTP2_NO_ERROR);
  }

  reset(): void {
    this.#held = undefined;
    this.#ended = false;
    this.#isCut = true;
    this.#stream.close(NGHTTP2_INTERNAL_ERROR);
  }

  detach(): DetachedConnection {
    throw new Error("not an upgrade");
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

  /** Whatever the library will not write ends the stream: it would throw where nobody hears it. */
  #try(write: () => void): void {
    try {
      write();
    } catch {
      this.reset();
    }
  }

  #sendTrailers(): void {
    // None: the end of the body is a frame of its own then.
    this.#try(() => this.#stream.sendTrailers(fieldObject(this.#trailers)));
    this.#waitsForTrailers = false;
    process.nextTick(left, this);
  }

  /** The whole response is with the connection. */
  left(): void {
    if (!this.#ended || this.#finished || this.#waitsForTrailers) return;
    this.#finished = true;
    // Nobody reads what may still come.
    if (!this.#bodyOver && this.#body === undefined) setImmediate(() => this.#stream.close(NGHTTP2_NO_ERROR));
    this.#over();
  }

  #over(): void {
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onClose();
  }

  #received(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    this.#stall?.refresh();
    if (chunk.length > 0) this.#body?.onData(chunk);
  }

  #bodyEnded(): void {
    // The end that a reset makes is none.
    if (this.#bodyOver || this.#isCut || this.#stream.aborted || this.#stream.rstCode !== NGHTTP2_NO_ERROR)
      return;
    this.#bodyOver = true;
    clearTimeout(this.#stall);
    this.#body?.onEnd(this.#bodyTrailers);
  }

  #closed(): void {
    clearTimeout(this.#stall);
    if (!this.#bodyOver && this.framing !== "none") this.#body?.onBroken();
    this.#bodyOver = true;
    const { rstCode, aborted, writableLength } = this.#stream;
    // A stream that both sides have ended may be closed before it tells that its response is out.
    if (this.#ended && !this.#isCut && !aborted && rstCode === NGHTTP2_NO_ERROR && writableLength === 0)
      this.#finished = true;
    this.#over();
  }
}

const look = (stream: Http2ServerStream): void => stream.look();
const left = (stream: Http2ServerStream): void => stream.left();
const release = (stream: Http2ServerStream): void => stream.release();

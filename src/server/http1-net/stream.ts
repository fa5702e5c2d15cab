// A `ServerStream` over node:net: one request with its response on a connection that carries one at a time.
import type { Socket } from "node:net";
import type {
  BodyHandler,
  DetachedConnection,
  ServerStream,
  StreamHandler,
} from "../../exchange/server-stream.ts";
import { resetConnection } from "../../http1/reset.ts";
import type { ClientTls } from "../../plugin-api/contract.ts";
import { clientTlsOf } from "../http1/client-tls.ts";
import { interimText } from "./interim.ts";
import type { StreamRequest } from "./request.ts";
import { linesOf, type ResponseHead } from "./response-head.ts";
import { StreamBody } from "./stream-body.ts";
import { writeParts } from "./write-parts.ts";

/** The connection, as a stream on it knows it. */
export interface StreamConnection {
  readonly socket: Socket;
  readonly peer: string;
  /** Where heads are made. */
  readonly head: ResponseHead;
  readonly isTls: boolean;
  /** To be called once a turn is over, or everything that was written has left the process. */
  readonly flushed: (error?: Error | null) => void;
  /** No more is to be read, or more may. */
  pauseReading(): void;
  resumeReading(): void;
  /** Something came, or went: whoever is waited for is not silent. */
  stir(): void;
  /** @param stallMs longest silence; 0 = nobody is waited for */
  awaitBody(stallMs: number): void;
  /** Lets go of its socket. @returns its side of the upgrade */
  detach(fields: readonly string[]): DetachedConnection;
}

const settled: Promise<undefined> = Promise.resolve(undefined);

export class NetStream implements ServerStream {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: string;
  readonly fields: readonly string[];
  readonly upgrades: boolean;
  readonly shared = false;
  readonly body: StreamBody;
  status = 0;
  /** The whole response has left the process. */
  finished = false;
  /** It is over, or its connection gone. */
  closed = false;
  /** The connection ends with the response. */
  isLast = false;
  handler: StreamHandler | undefined = undefined;
  readonly #connection: StreamConnection;
  readonly #keepAlive: boolean;
  /** The head and the first bytes wait for the end of this turn, or of the response. */
  #held: string | undefined = undefined;
  #first: Buffer | undefined = undefined;
  #chunked = false;
  #bodiless = false;
  /** Whether it has sent its body, or goes on with another request, does not show. */
  #isUnsure: boolean;
  #isBlocked = false;
  #ended = false;
  /** Its connection hears when this turn is over. */
  #isDue = false;
  /** Its connection hears when everything has left. */
  #isFollowed = false;

  constructor(connection: StreamConnection, request: StreamRequest) {
    this.#connection = connection;
    this.method = request.method;
    this.target = request.target;
    this.httpVersion = request.httpVersion;
    this.fields = request.fields;
    this.upgrades = request.upgrades;
    this.#keepAlive = request.keepAlive && !request.upgrades;
    this.#isUnsure = request.expectsContinue;
    this.body = new StreamBody(connection, request.isWhole);
  }

  get peer(): string {
    return this.#connection.peer;
  }

  get tls(): ClientTls | undefined {
    return clientTlsOf(this.#connection.socket);
  }

  get complete(): boolean {
    return this.body.complete;
  }

  get destroyed(): boolean {
    return this.closed || this.#connection.socket.destroyed;
  }

  get socket(): Socket | null {
    return this.closed ? null : this.#connection.socket;
  }

  get bytesRead(): number {
    return this.#connection.socket.bytesRead;
  }

  get bytesWritten(): number {
    return this.#connection.socket.bytesWritten;
  }

  get waitingBytes(): number {
    if (this.closed) return 0;
    return this.#connection.socket.writableLength + (this.#held?.length ?? 0) + (this.#first?.length ?? 0);
  }

  open(handler: StreamHandler): void {
    this.handler = handler;
  }

  read(handler: BodyHandler): void {
    this.body.read(handler);
  }

  pause(): void {
    this.body.pause();
  }

  resume(): void {
    this.body.resume();
  }

  awaitBody(stallMs: number): void {
    if (!this.body.broken) this.#connection.awaitBody(stallMs);
  }

  interim(status: number, fields: readonly string[]): void {
    if (this.status !== 0 || this.destroyed || this.httpVersion === "1.0") return;
    const text = interimText(status, fields);
    if (status === 100) this.#isUnsure = false;
    if (text !== undefined) this.#connection.socket.write(text, "latin1");
  }

  takesTrailers(isSized: boolean): boolean {
    return !isSized && this.httpVersion !== "1.0";
  }

  respond(status: number, statusText: string | undefined, fields: readonly string[]): void {
    if (this.status !== 0) throw new Error("a second head");
    const { head } = this.#connection;
    const { method, httpVersion } = this;
    const keepAlive = this.#keepAlive && !this.isLast && !this.#isUnsure;
    head.make({ method, httpVersion, keepAlive }, status, statusText, fields);
    this.status = status;
    this.#held = head.text;
    this.#chunked = head.chunked;
    this.#bodiless = head.bodiless;
    this.isLast = head.isLast;
    this.#onceTurnIsOver();
  }

  write(bytes: Buffer): boolean {
    if (bytes.length === 0 || this.#bodiless || this.#ended || this.destroyed) return true;
    if (this.#held !== undefined && this.#first === undefined) {
      this.#first = bytes;
      return true;
    }
    this.release();
    return this.#wrote(writeParts(this.#connection.socket, "", bytes, this.#chunked, "", undefined));
  }

  /** Lets the head go, with what came meanwhile: an event stream's head does not wait for its first event. */
  release(): void {
    const held = this.#held;
    if (held === undefined) return;
    const first = this.#takeHeld();
    if (!this.destroyed)
      this.#wrote(writeParts(this.#connection.socket, held, first, this.#chunked, "", undefined));
  }

  end(trailers: readonly string[]): void {
    const tail = this.#chunked ? `0\r\n${linesOf(trailers)}\r\n` : "";
    if (this.#ended || this.destroyed) return;
    this.#ended = true;
    const { socket, flushed, isTls } = this.#connection;
    const held = this.#held ?? "";
    const first = this.#takeHeld();
    if (held !== "" || tail !== "") {
      // Under TLS nothing leaves at once. In clear most does, and a call back for each write would cost more.
      this.#isFollowed = isTls;
      writeParts(socket, held, first, this.#chunked, tail, isTls ? flushed : undefined);
    }
    this.#onceTurnIsOver();
    // A client may not even take the rest of a response that is through.
    if (socket.writableLength > 0) this.handler?.onBlocked();
  }

  endHalf(): void {
    this.release();
    this.#connection.socket.end();
  }

  destroy(): void {
    // Behind its response, and its request, others may have the connection.
    if (!this.closed || !this.body.complete) this.#connection.socket.destroy();
  }

  reset(): void {
    if (!this.closed) resetConnection(this.#connection.socket);
  }

  detach(fields: readonly string[]): DetachedConnection {
    if (!this.upgrades) throw new Error("not an upgrade");
    linesOf(fields);
    this.handler = undefined;
    return this.#connection.detach(fields);
  }

  /** The client ended its side: no further request comes. */
  halfClosed(): void {
    this.isLast = true;
    if (!this.closed) this.handler?.onHalfClosed();
  }

  /** What was written has been taken. */
  drained(): void {
    if (!this.#isBlocked || this.#ended || this.closed) return;
    this.#isBlocked = false;
    this.handler?.onWritable();
  }

  /** A turn is over, or something has left. @returns whether that was the last of the response */
  flushed(): boolean {
    this.#isDue = false;
    this.release();
    if (!this.#ended || this.finished) return false;
    const { socket, flushed } = this.#connection;
    if (socket.writableLength > 0) {
      if (!this.#isFollowed) socket.write("", "latin1", flushed);
      this.#isFollowed = true;
      return false;
    }
    this.finished = socket.errored === null;
    return this.finished;
  }

  /** It is over. */
  close(): void {
    this.closed = true;
    const { handler } = this;
    this.handler = undefined;
    handler?.onClose();
  }

  /** By a microtask: Node makes a dictionary of each tick of its own. */
  #onceTurnIsOver(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    void settled.then(this.#connection.flushed);
  }

  #takeHeld(): Buffer | undefined {
    const first = this.#first;
    this.#held = undefined;
    this.#first = undefined;
    return first;
  }

  #wrote(taken: boolean): boolean {
    this.#connection.stir();
    if (taken || this.#isBlocked) return taken;
    this.#isBlocked = true;
    this.handler?.onBlocked();
    return false;
  }
}

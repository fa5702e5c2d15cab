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

/** The part of the connection that a stream uses. */
export interface StreamConnection {
  readonly socket: Socket;
  readonly peer: string;
  /** Makes the response heads. */
  readonly head: ResponseHead;
  readonly isTls: boolean;
  /** Call it when a turn is over, or when all written bytes have left the process. */
  readonly flushed: (error?: Error | null) => void;
  /** Pauses or resumes reading from the socket. */
  pauseReading(): void;
  resumeReading(): void;
  /** Restarts the stall limit: bytes came or left, so the client is not silent. */
  stir(): void;
  /** @param stallMs the longest silence of the client; 0 = the client is not waited for */
  awaitBody(stallMs: number): void;
  /** Lets go of the socket. @returns the client's side of the upgrade */
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
  /** The stream is over, or its connection gone. */
  closed = false;
  /** The connection ends with the response. */
  isLast = false;
  handler: StreamHandler | undefined = undefined;
  readonly #connection: StreamConnection;
  readonly #keepAlive: boolean;
  /** The head and the first bytes; they wait for the end of this turn, or of the response. */
  #held: string | undefined = undefined;
  #first: Buffer | undefined = undefined;
  #chunked = false;
  #bodiless = false;
  /** After `Expect: 100-continue`, it is unknown whether the client sends its body or another request. */
  #isUnsure: boolean;
  #isBlocked = false;
  #ended = false;
  /** `flushed` will be called when this turn is over. */
  #isDue = false;
  /** `flushed` will be called when all written bytes have left. */
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

  /** Sends the head with the bytes written so far: an event stream's head must not wait for its first event. */
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
      // Under TLS, nothing leaves at once. In clear, most does, and a callback for each write would cost more.
      this.#isFollowed = isTls;
      writeParts(socket, held, first, this.#chunked, tail, isTls ? flushed : undefined);
    }
    this.#onceTurnIsOver();
    // The client may not take even the rest of a complete response.
    if (socket.writableLength > 0) this.handler?.onBlocked();
  }

  endHalf(): void {
    this.release();
    this.#connection.socket.end();
  }

  destroy(): void {
    // After the response and its request, other exchanges may have the connection.
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

  /** Called when the client ended its side: no further request comes. */
  halfClosed(): void {
    this.isLast = true;
    if (!this.closed) this.handler?.onHalfClosed();
  }

  /** Called when the socket's buffer has drained. */
  drained(): void {
    if (!this.#isBlocked || this.#ended || this.closed) return;
    this.#isBlocked = false;
    this.handler?.onWritable();
  }

  /** Called when a turn is over, or when bytes have left. @returns whether the response is now complete */
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

  /** Ends the stream. */
  close(): void {
    this.closed = true;
    const { handler } = this;
    this.handler = undefined;
    handler?.onClose();
  }

  /** Uses a microtask: for each `process.nextTick`, Node makes an object in dictionary mode. */
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

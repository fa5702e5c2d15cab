// A `ServerStream` over node:http: the only file that knows the messages of node:http.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { peerOf } from "../../client/peer.ts";
import type {
  BodyHandler,
  DetachedConnection,
  ServerStream,
  StreamHandler,
} from "../../exchange/server-stream.ts";
import { resetConnection } from "../../http1/reset.ts";
import type { ClientTls } from "../../plugin-api/contract.ts";
import { clientTlsOf } from "./client-tls.ts";
import { endBehindBody } from "./end-behind-body.ts";
import { pairsOf } from "../../plugin-api/pairs.ts";
import { writeInterim } from "./interim.ts";
import { checkSendable } from "./sendable.ts";
import type { UpgradeSide } from "./upgrade-side.ts";

/** Up to here, appending a body to its head costs less than a second buffer for the kernel. */
const oneWriteBytes = 8 * 1024;

/** Links a message to its stream. It is a property: a map would cost every request a new entry. */
interface Carrying {
  serverStream?: Http1Stream;
}

export class Http1Stream implements ServerStream {
  // Public only because http-proxy-3 needs them.
  readonly message: IncomingMessage & Carrying;
  readonly response: ServerResponse & Carrying;
  readonly #upgrade: UpgradeSide | undefined;
  #handler: StreamHandler | undefined = undefined;
  #body: BodyHandler | undefined = undefined;
  /** The head and the first bytes wait for the end of this turn, or of the response. */
  #isHeld = false;
  #first: Buffer | undefined = undefined;
  #isBlocked = false;
  #awaitsBody = false;

  constructor(message: IncomingMessage, response: ServerResponse, upgrade?: UpgradeSide) {
    this.message = message;
    this.response = response;
    this.#upgrade = upgrade;
  }

  get method(): string {
    return this.message.method as string;
  }

  get target(): string {
    return this.message.url as string;
  }

  get httpVersion(): string {
    return this.message.httpVersion;
  }

  get fields(): readonly string[] {
    return this.message.rawHeaders;
  }

  get peer(): string {
    return peerOf(this.message.socket);
  }

  get tls(): ClientTls | undefined {
    return clientTlsOf(this.message.socket);
  }

  get upgrades(): boolean {
    return this.#upgrade !== undefined;
  }

  get complete(): boolean {
    return this.message.complete;
  }

  get status(): number {
    return this.response.headersSent ? this.response.statusCode : 0;
  }

  get finished(): boolean {
    return this.response.writableFinished;
  }

  get destroyed(): boolean {
    return this.response.destroyed;
  }

  get shared(): boolean {
    return false;
  }

  get socket(): Socket | null {
    return this.response.socket;
  }

  get bytesRead(): number {
    return this.message.socket.bytesRead;
  }

  get bytesWritten(): number {
    return this.message.socket.bytesWritten;
  }

  get waitingBytes(): number {
    return this.response.writableLength;
  }

  /** Whether all earlier requests on the connection are answered. */
  get isItsTurn(): boolean {
    return this.response.socket !== null;
  }

  /** Calls back when `isItsTurn` becomes true; never if the connection ends first. */
  whenItsTurn(callback: () => void): void {
    this.response.once("socket", callback);
  }

  open(handler: StreamHandler): void {
    this.#handler = handler;
    this.response.serverStream = this;
    this.response.on("close", closed);
  }

  read(handler: BodyHandler): void {
    const { message } = this;
    const isFirst = this.#body === undefined;
    this.#body = handler;
    if (message.destroyed) handler.onBroken();
    else if (isFirst) {
      message.serverStream = this;
      message.on("data", bodyData).on("end", bodyEnded).on("close", bodyClosed);
    }
  }

  pause(): void {
    this.message.pause();
  }

  resume(): void {
    this.message.resume();
  }

  /** Uses the socket's own inactivity timer: it counts from the last byte, so no chunk has to reset it. */
  awaitBody(stallMs: number): void {
    const { message } = this;
    if (message.socket.destroyed) return;
    message.socket.setTimeout(stallMs);
    // On the message, not the socket: a timeout that neither message nor response listens to destroys the connection.
    if (stallMs > 0 && !this.#awaitsBody) message.on("timeout", bodyStalled);
    else if (stallMs === 0 && this.#awaitsBody) message.off("timeout", bodyStalled);
    this.#awaitsBody = stallMs > 0;
  }

  interim(status: number, fields: readonly string[]): void {
    if (!this.response.headersSent) writeInterim(this.response, status, fields);
  }

  /** node:http throws if trailers are announced without chunks. */
  takesTrailers(isSized: boolean): boolean {
    return !isSized && this.message.httpVersionMinor === 1;
  }

  respond(status: number, statusText: string | undefined, fields: readonly string[]): void {
    checkSendable(statusText, fields);
    this.response.writeHead(status, statusText, fields as string[]);
    this.#isHeld = true;
    process.nextTick(release, this);
  }

  write(bytes: Buffer): boolean {
    if (this.response.destroyed) return true;
    if (this.#isHeld && this.#first === undefined) {
      this.#first = bytes;
      return true;
    }
    this.release();
    return this.#wrote(this.response.write(bytes));
  }

  /** Sends the head with the bytes written so far: an event stream's head must not wait for its first event. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    const first = this.#first;
    this.#first = undefined;
    const { response } = this;
    if (response.destroyed) return;
    const { socket } = response;
    socket?.cork();
    // flushHeaders is not used: it writes the bytes of obs-text fields as UTF-8 (Node 26).
    const taken = first === undefined ? response.write("", "latin1") : response.write(first);
    socket?.uncork();
    this.#wrote(taken);
  }

  end(trailers: readonly string[]): void {
    const { response } = this;
    if (trailers.length > 0) response.addTrailers(pairsOf(trailers));
    if (!this.complete && this.#body !== undefined) endBehindBody(this.message, response);
    const first = this.#isHeld ? this.#first : undefined;
    this.#isHeld = false;
    this.#first = undefined;
    if (first === undefined) response.end();
    // As text, head and body become one string, which leaves in one plain write.
    else if (first.length <= oneWriteBytes) response.end(first.toString("latin1"), "latin1");
    else response.end(first);
    const { socket, writableEnded, writableCorked } = response;
    // The client may not take even the rest of a complete response.
    if (writableEnded && socket !== null && writableCorked === 0 && socket.writableLength > 0)
      this.#handler?.onBlocked();
  }

  endHalf(): void {
    this.release();
    this.message.socket.end();
  }

  destroy(): void {
    // After the response is sent, only the request still holds the connection.
    (this.#upgrade?.side ?? (this.response.writableFinished ? this.message : this.response)).destroy();
  }

  reset(): void {
    const { socket } = this.response;
    if (socket !== null) resetConnection(socket);
    this.response.destroy();
  }

  detach(fields: readonly string[]): DetachedConnection {
    const upgrade = this.#upgrade;
    if (upgrade === undefined) throw new Error("not an upgrade");
    checkSendable(undefined, fields);
    this.#handler = undefined;
    this.response.detachSocket(upgrade.side);
    return upgrade.take(fields);
  }

  get handler(): StreamHandler | undefined {
    return this.#handler;
  }

  get body(): BodyHandler | undefined {
    return this.#body;
  }

  closed(): void {
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onClose();
  }

  drained(): void {
    this.#isBlocked = false;
    this.#handler?.onWritable();
  }

  #wrote(taken: boolean): boolean {
    if (taken || this.#isBlocked) return taken;
    this.#isBlocked = true;
    this.response.once("drain", drained);
    this.#handler?.onBlocked();
    return false;
  }
}

// All streams share these functions: `this` is the message, which knows its stream.
function closed(this: Carrying): void {
  this.serverStream?.closed();
}

function drained(this: Carrying): void {
  this.serverStream?.drained();
}

function release(stream: Http1Stream): void {
  stream.release();
}

function bodyData(this: Carrying, chunk: Buffer): void {
  this.serverStream?.body?.onData(chunk);
}

function bodyEnded(this: IncomingMessage & Carrying): void {
  this.serverStream?.body?.onEnd(this.rawTrailers);
}

function bodyClosed(this: IncomingMessage & Carrying): void {
  if (!this.readableEnded) this.serverStream?.body?.onBroken();
}

function bodyStalled(this: Carrying): void {
  this.serverStream?.awaitBody(0);
  this.serverStream?.body?.onStall();
}

// Reads the requests of one client connection, one after the other: each is answered before the next is read. Decides
// what an end of the connection, silence or malformed bytes mean for the request that it carries.
import type { Socket } from "node:net";
import { peerOf } from "../../client/peer.ts";
import type { DetachedConnection } from "../../exchange/server-stream.ts";
import { MALFORMED, NEED_MORE } from "../../http1/field-section.ts";
import { inOwnMemory } from "../../http1/own-memory.ts";
import { skipEmptyLines } from "../../http1/request-line.ts";
import { RequestParser } from "../../http1/request-parser.ts";
import { type Carried, headTimeout } from "../accept.ts";
import { UpgradeSide } from "../http1/upgrade-side.ts";
import { keepAliveMarginMs, type Timed, unreadMs } from "./deadlines.ts";
import type { ConnectionOwner } from "./owner.ts";
import { readNow, readSoon, type SocketReader, stopReading } from "./reading.ts";
import { requestOf } from "./request.ts";
import type { ResponseHead } from "./response-head.ts";
import { NetStream, type StreamConnection } from "./stream.ts";

/** One read can bring two thousand requests: after this many, other connections get their turn. */
const atOnce = 8;

export class NetConnection implements StreamConnection, SocketReader, Timed, Carried {
  setIndex = -1;
  deadlineAt: number;
  /** The request that the connection carries; undefined = it waits for one. */
  stream: NetStream | undefined = undefined;
  readonly socket: Socket;
  readonly isTls: boolean;
  readonly flushed = (error?: Error | null): void => {
    if (error === null || error === undefined) this.#responseOut();
  };
  readonly #owner: ConnectionOwner;
  readonly #parser: RequestParser;
  #peer: string | undefined = undefined;
  /** The bytes that came after the request, and the memory taken from the budget for them. */
  #rest: Buffer | undefined = undefined;
  #restTaken = 0;
  /** Its bytes are ignored from now on: it was refused, or other code reads it. */
  #isOver = false;
  #hasServed = false;
  #turns = 0;
  /** The client has ended its side; `#rest` comes before that end. */
  #hasEnded = false;
  /** The bytes being read now have waited until an answer was out. */
  #wasHeld = false;
  #stallMs = 0;
  #upgrade: UpgradeSide | undefined = undefined;

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.socket = socket;
    this.#owner = owner;
    this.#parser = new RequestParser(owner.limits.maxHeaderBytes);
    this.#parser.begin();
    this.isTls = "encrypted" in socket;
    this.deadlineAt = performance.now() + owner.limits.headerTimeoutMs;
  }

  get head(): ResponseHead {
    return this.#owner.head;
  }

  get peer(): string {
    return (this.#peer ??= peerOf(this.socket));
  }

  get isInBody(): boolean {
    return this.stream?.complete === false;
  }

  get isAnswering(): boolean {
    return this.stream?.finished === false;
  }

  get isAnsweredEarly(): boolean {
    return this.stream !== undefined && this.stream.finished && !this.stream.complete;
  }

  /** It has served a request, and no byte has come since. */
  get isIdle(): boolean {
    return this.#hasServed && this.stream === undefined && this.#rest === undefined && !this.#parser.started;
  }

  received(bytes: Buffer): void {
    if (this.#isOver) return;
    if (this.#rest === undefined) this.#run(bytes);
    else this.#hold(Buffer.concat([this.#rest, bytes]));
  }

  ended(): void {
    const { stream, socket } = this;
    // The end is reported even while reading is paused.
    if (this.#rest !== undefined) return void (this.#hasEnded = true);
    const isCut = !this.#isOver && (stream === undefined ? this.#parser.started : !stream.complete);
    if (isCut) this.#refuse("HPE_INVALID_EOF_STATE", "it ends in the middle");
    // Under TLS the client is taken to have left (see http1/server.ts).
    else if (this.isTls && (this.isAnswering || socket.writableLength > 0)) socket.destroy();
    else if (stream !== undefined && !stream.closed) stream.halfClosed();
    else if (!this.#isOver) socket.end();
  }

  drained(): void {
    this.stream?.drained();
  }

  /** Called when the socket is closed. */
  closed(): void {
    this.#isOver = true;
    this.deadlineAt = 0;
    this.#letGo();
    const { stream } = this;
    if (stream === undefined) return;
    this.stream = undefined;
    if (!stream.closed) stream.close();
    stream.body.breakOff();
  }

  expire(): void {
    this.deadlineAt = 0;
    const { stream } = this;
    if (stream !== undefined) {
      this.#stallMs = 0;
      stream.body.stall();
    } else if (this.isIdle) this.socket.destroy();
    else this.#broken(headTimeout());
  }

  pauseReading(): void {
    this.socket.pause();
  }

  resumeReading(): void {
    if (this.#rest === undefined && this.socket.isPaused()) this.socket.resume();
  }

  stir(): void {
    if (this.#stallMs > 0) this.deadlineAt = performance.now() + this.#stallMs;
  }

  awaitBody(stallMs: number): void {
    this.#stallMs = stallMs;
    this.deadlineAt = stallMs === 0 ? 0 : performance.now() + stallMs;
  }

  detach(fields: readonly string[]): DetachedConnection {
    this.stream = undefined;
    return (this.#upgrade as UpgradeSide).take(fields);
  }

  onBody(chunk: Buffer): void {
    this.stream?.body.push(chunk);
  }

  #run(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && !this.#isOver) {
      const { stream } = this;
      if (stream === undefined) at = this.#readHead(bytes, at);
      else if (!stream.complete) at = this.#readBody(bytes, at, stream);
      else {
        // Empty lines are no request: if the client ends after them, that has to be noticed.
        const next = skipEmptyLines(bytes, at);
        if (next < bytes.length) this.#hold(bytes.subarray(next));
        return;
      }
    }
  }

  /** @returns the offset at which reading stopped */
  #readHead(bytes: Buffer, from: number): number {
    const parser = this.#parser;
    const began = parser.started;
    const end = parser.readHead(bytes, from);
    if (end === MALFORMED) this.#malformed();
    else if (end === NEED_MORE) {
      if (!began && parser.started && this.#hasServed)
        this.deadlineAt = performance.now() + this.#owner.limits.headerTimeoutMs;
    } else {
      this.deadlineAt = 0;
      this.#serve(bytes, end);
      return end;
    }
    return bytes.length;
  }

  #serve(bytes: Buffer, end: number): void {
    const { method, target } = this.#parser.line;
    if (method === "CONNECT") {
      this.#isOver = true;
      this.#owner.onConnect(target, this.socket, this);
      return;
    }
    const stream = new NetStream(this, requestOf(this.#parser, this.#wasHeld));
    this.stream = stream;
    if (stream.upgrades) this.#handOver(bytes.subarray(end));
    this.#owner.onRequest(stream);
  }

  /** From now on the parser gets no bytes. */
  #handOver(early: Buffer): void {
    this.#isOver = true;
    stopReading(this.socket);
    this.#upgrade = new UpgradeSide(this.socket, early);
  }

  #readBody(bytes: Buffer, from: number, stream: NetStream): number {
    const parser = this.#parser;
    this.stir();
    const at = parser.readBody(bytes, from, this);
    // A handler may have ended the connection.
    if (this.#isOver) return bytes.length;
    if (at === MALFORMED) this.#malformed();
    else if (parser.complete) {
      stream.body.end(parser.trailers);
      if (stream.finished && stream.isLast) this.#endUnread();
      else if (stream.finished) this.#next();
    }
    return at;
  }

  #hold(bytes: Buffer): void {
    const { held } = this.#owner;
    held.give(this.peer, this.#restTaken);
    const taken = held.take(this.peer, bytes.length);
    this.#restTaken = taken ?? 0;
    this.#rest = inOwnMemory(bytes);
    // Reading pauses meanwhile, or requests would pile up as fast as the client can send them.
    if (taken !== undefined) this.socket.pause();
    else this.#owner.onCrowding(this.socket);
  }

  #letGo(): void {
    this.#owner.held.give(this.peer, this.#restTaken);
    this.#restTaken = 0;
    this.#rest = undefined;
  }

  /** Called when a turn is over, or when written bytes have left the process. */
  #responseOut(): void {
    const { stream } = this;
    if (stream === undefined || !stream.flushed()) return;
    stream.close();
    if (!stream.isLast) {
      if (stream.complete) this.#next();
      else stream.body.drop();
    } else if (this.#upgrade !== undefined) this.#upgrade.decline();
    else if (stream.body.isComing) this.socket.end();
    else if (this.#rest === undefined) this.socket.destroySoon();
    else this.#endUnread();
  }

  /** Closing on unread bytes would reset the connection before the client has the answer (RFC 9112 section 9.6). */
  #endUnread(): void {
    this.#isOver = true;
    this.#letGo();
    this.stream = undefined;
    this.socket.end().resume();
    this.deadlineAt = performance.now() + unreadMs;
  }

  #next(): void {
    this.stream = undefined;
    this.#hasServed = true;
    this.#stallMs = 0;
    this.#parser.begin();
    this.deadlineAt = 0;
    this.#turns += 1;
    if (this.#rest === undefined || this.#turns % atOnce !== 0) readNow(this);
    else readSoon(this);
  }

  /** Reads the next request from the bytes that came after the last one, or waits for it. */
  readOn(): void {
    if (this.#isOver || this.socket.destroyed) return;
    const rest = this.#rest;
    const { keepAliveMs } = this.#owner.limits;
    this.deadlineAt = keepAliveMs === 0 ? 0 : performance.now() + keepAliveMs + keepAliveMarginMs;
    if (rest !== undefined) {
      this.#letGo();
      this.#wasHeld = true;
      this.#run(rest);
      this.#wasHeld = false;
    }
    this.resumeReading();
    if (this.#hasEnded) this.ended();
  }

  #malformed(): void {
    const { overflow, problem } = this.#parser;
    this.#refuse(overflow ? "HPE_HEADER_OVERFLOW" : "HPE_INVALID", problem);
  }

  #refuse(code: string, reason: string): void {
    this.#broken(Object.assign(new Error(reason), { code, reason }));
  }

  #broken(error: NodeJS.ErrnoException): void {
    this.#isOver = true;
    this.#owner.onParserError(error, this.socket, this);
  }
}

// One connection to the upstream. It carries exchanges one after the other, watches their time limits and decides what
// the end of the connection means for the exchange it carries.
import type { Socket } from "node:net";
import type { SecureContext } from "node:tls";
import type { GatewayError } from "../plugin-api/errors.ts";
import { answerTimeout, brokenOff, invalidAnswer } from "./answer-failures.ts";
import { connectFailure, connectTimeout, type Connector } from "./connector.ts";
import type { Carrier, Exchange } from "./exchange.ts";
import { afterNextPoll } from "./after-next-poll.ts";
import { RequestSender } from "./request-sender.ts";
import { type Progress, ResponseParser, type ResponseSink } from "../http1/response-parser.ts";

/** The interface of the pool that a connection sees. */
export interface ConnectionOwner {
  /** The exchange is complete, and the connection can carry another. */
  released(connection: Connection): void;
  /** Bytes came that answer no request. */
  unsolicited(): void;
  /** @param retry the exchange it carried, if that has to be sent once more on a fresh connection */
  closed(connection: Connection, retry: Exchange | undefined): void;
}

/** A service closes an idle connection at its own limit; the sidecar's limit stays this much below it. */
const IDLE_MARGIN_MS = 1000;

type Failure = NodeJS.ErrnoException | undefined;

export class Connection implements Carrier, ResponseSink {
  /** When it became idle, on the monotonic clock in milliseconds. */
  idleSince = 0;
  /** It was paused: bytes that answer nobody may wait in the socket. */
  unread = false;
  /** When its current wait (for the connection, for bytes, or idle) ends; 0 = none. */
  deadlineAt: number;
  /** The only client whose exchanges it carries; undefined = any client's. */
  readonly origin: string | undefined;

  readonly #connector: Connector;
  readonly #secureContext: SecureContext | undefined;
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #parser: ResponseParser = new ResponseParser(this);
  readonly #sender: RequestSender;
  #exchange: Exchange | undefined;
  #ready = false;
  #dead = false;
  /** It has carried an exchange before this one: the service may have closed it meanwhile. */
  #reused = false;
  /** Bytes of the current answer have come. */
  #answered = false;
  /** The receiver asked the connection to pause. */
  #paused = false;
  /** The service ended its side before the receiver had taken everything. */
  #endHeld = false;
  #awaitsContinue = false;

  /** @param exchange the one that the connection is opened for */
  constructor(connector: Connector, owner: ConnectionOwner, exchange: Exchange) {
    this.#connector = connector;
    this.#secureContext = connector.secureContext;
    const socket = connector.open((bytes) => this.#received(bytes), exchange.request.clientAddress);
    this.origin = exchange.origin;
    this.#socket = socket;
    this.#owner = owner;
    this.#sender = new RequestSender(socket);
    this.#exchange = exchange;
    this.deadlineAt = exchange.waitUntil;
    exchange.heldBy(this);
    socket.on(connector.readyEvent, () => this.#opened());
    socket.on("drain", () => this.#drained());
    socket.on("end", () => this.#ended());
    socket.on("close", () => this.#ended());
    socket.on("error", (error) => this.#lost(error));
  }

  /** The client whose exchange it carries. */
  get client(): string | undefined {
    return this.#exchange?.request.client;
  }

  /** Certificates have been renewed since it was opened: it must not carry another exchange. */
  get isOutdated(): boolean {
    return this.#secureContext !== this.#connector.secureContext;
  }

  /** Sends the exchange. Only call this on an idle connection. */
  carry(exchange: Exchange, now: number): void {
    this.#exchange = exchange;
    exchange.carriedBy(this);
    this.#answered = false;
    this.unread = false;
    this.#awaitsContinue = exchange.head.expectsContinue && !exchange.ended;
    this.#parser.begin(exchange.request.method);
    this.#sender.begin(exchange);
    this.#watch(now);
    if (!this.#sender.backedUp) exchange.drained();
  }

  /**
   * Sends the exchange after the event loop has read everything that has arrived until now. Only then does a closed
   * connection show, and a request that must not be sent twice must not run into it. Only call this on an idle
   * connection.
   */
  carryWhenSeenOpen(exchange: Exchange): void {
    this.#exchange = exchange;
    exchange.heldBy(this);
    this.#answered = false;
    this.deadlineAt = 0;
    this.#parser.begin(exchange.request.method);
    this.#sender.hold();
    afterNextPoll(() => {
      if (!this.#dead && this.#exchange === exchange) this.carry(exchange, performance.now());
    });
  }

  writeBody(chunk: Buffer): boolean {
    this.#awaitsContinue = false;
    const taking = this.#sender.write(chunk);
    this.#watch(performance.now());
    return taking;
  }

  endBody(): void {
    this.#awaitsContinue = false;
    this.#sender.end();
    this.#watch(performance.now());
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    const progress = this.#parser.resume();
    if (progress !== "paused") this.#socket.resume();
    this.unread = true;
    this.#settle(progress);
    if (this.#endHeld && !this.#paused) this.#ended();
  }

  drop(): void {
    this.#exchange = undefined;
    this.close();
  }

  onInterim(status: number, fields: readonly string[]): void {
    const exchange = this.#exchange as Exchange;
    if (status === 100) {
      this.#awaitsContinue = false;
      if (!this.#sender.done) this.#watch(performance.now());
      if (!exchange.head.expectsContinue) return;
    }
    exchange.handler.onInterim(status, fields);
  }

  onHead(status: number, statusText: string, fields: readonly string[]): void {
    (this.#exchange as Exchange).handler.onHead(status, statusText, fields);
  }

  onBody(chunk: Buffer): boolean {
    return (this.#exchange as Exchange).handler.onData(chunk);
  }

  /** Fails the exchange if its wait has ended by `now`. */
  expire(now: number): void {
    if (this.deadlineAt === 0 || this.deadlineAt > now) return;
    if (!this.#ready) this.#fail(connectTimeout());
    else this.#fail(answerTimeout());
  }

  /** Closes the connection: call it only while idle, or once its exchange was let go. */
  close(retry?: Exchange): void {
    if (this.#dead) return;
    this.#dead = true;
    this.deadlineAt = 0;
    this.#parser.stop();
    this.#socket.destroy();
    this.#owner.closed(this, retry);
  }

  #opened(): void {
    if (this.#dead) return;
    this.#ready = true;
    this.carry(this.#exchange as Exchange, performance.now());
  }

  #received(bytes: Buffer): void {
    if (this.#dead) return;
    // Unrequested bytes must never be taken for the answer to a later request.
    if (this.#exchange === undefined || !this.#sender.started) {
      this.#owner.unsolicited();
      if (this.#reused) this.#lost(undefined);
      else this.#fail(invalidAnswer("bytes before the request"));
      return;
    }
    this.#answered = true;
    this.unread = false;
    this.#settle(this.#parser.feed(bytes));
  }

  #settle(progress: Progress): void {
    // The receiver may have aborted from within a callback.
    if (this.#exchange === undefined) return;
    switch (progress) {
      case "more":
        // Until the final head has come, its limit keeps running: interim responses and single bytes do not renew it.
        if (this.#parser.headSeen) this.#watch(performance.now());
        break;
      case "paused":
        this.#paused = true;
        this.#socket.pause();
        this.#watch(0);
        break;
      case "complete":
        this.#complete();
        break;
      case "invalid":
        this.#fail(invalidAnswer(this.#parser.problem));
        break;
    }
  }

  #complete(): void {
    const exchange = this.#exchange as Exchange;
    const { framing, trailers, surplus } = this.#parser;
    this.#exchange = undefined;
    const sent = this.#sender.done && this.#socket.writableLength === 0 && this.#socket.writable;
    if (surplus) this.#owner.unsolicited();
    if (framing.keepAlive && sent && !surplus && !this.#endHeld) {
      this.#reused = true;
      this.#owner.released(this);
    } else this.close();
    exchange.complete(trailers);
  }

  /** @returns how long the connection may be idle, given the transport's own limit */
  idleLimitMs(ownMs: number): number {
    const { keepAliveSeconds } = this.#parser.framing;
    return keepAliveSeconds === undefined ? ownMs : Math.min(ownMs, keepAliveSeconds * 1000 - IDLE_MARGIN_MS);
  }

  #drained(): void {
    if (this.#dead) return;
    this.#sender.drained();
    if (this.#exchange === undefined) return;
    this.#watch(performance.now());
    if (!this.#sender.backedUp) this.#exchange.drained();
  }

  #ended(): void {
    if (this.#dead) return;
    if (this.#paused) {
      this.#endHeld = true;
      return;
    }
    if (this.#exchange !== undefined && this.#ready && this.#parser.end() === "complete") this.#complete();
    else this.#lost(undefined);
  }

  /** The connection broke, or ended before the answer was complete. */
  #lost(cause: Failure): void {
    const exchange = this.#exchange;
    if (exchange === undefined) this.close();
    else if (!this.#ready) this.#fail(connectFailure(cause));
    else if (this.#mayRetry(exchange, cause)) {
      this.#exchange = undefined;
      this.close(exchange);
    } else this.#fail(brokenOff(cause));
  }

  /**
   * RFC 9110 section 9.2.2: only a request that the service cannot have acted on, or may act on twice, is retried. It
   * happens once only, as the retry gets a fresh connection.
   */
  #mayRetry(exchange: Exchange, cause: Failure): boolean {
    if (!this.#reused || this.#answered || exchange.bodyTaken) return false;
    const unseen = !this.#sender.started || (this.#sender.inOneWrite && cause?.syscall === "write");
    return exchange.idempotent || unseen;
  }

  #fail(error: GatewayError): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.close();
    exchange?.fail(error);
  }

  /** Starts the limit for the current wait; there is none while everything waits for the client. */
  #watch(now: number): void {
    const sender = this.#sender;
    const waits =
      !this.#paused && (sender.done || sender.backedUp || this.#parser.headSeen || this.#awaitsContinue);
    this.deadlineAt = waits ? now + (this.#exchange as Exchange).request.timeoutMs : 0;
  }
}

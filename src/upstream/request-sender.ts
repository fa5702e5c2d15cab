// Writes the requests of one connection to its socket: a head with a small body at once, bigger bodies as the socket
// drains, streamed bodies as they come.
import type { Socket } from "node:net";
import type { Exchange } from "./exchange.ts";
import { CHUNKED } from "../http1/head-writer.ts";
import { readBeforeEnd } from "./read-before-end.ts";

/** Up to here, appending a body to its head costs less than a second buffer for the kernel. */
const ONE_WRITE_BYTES = 16 * 1024;
/** Bigger bodies go in pieces, so that a service that has stopped reading is noticed. */
const PIECE_BYTES = 64 * 1024;

export class RequestSender {
  /** The whole request was handed to the socket. */
  done = false;
  /** The socket's buffer is full. */
  backedUp = false;
  /** The head is no longer held back. */
  started = false;
  /** Only one small write was made: if it failed, the service has seen nothing. */
  inOneWrite = false;

  readonly #socket: Socket;
  #exchange: Exchange | undefined;
  /** The rest of a big body. */
  #rest: Buffer | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    // What came before a request's first bytes cannot be its answer.
    readBeforeEnd(socket, () => !this.inOneWrite);
  }

  /** Another exchange gets the connection, but nothing of it may be sent yet. */
  hold(): void {
    this.started = false;
    this.done = false;
  }

  begin(exchange: Exchange): void {
    const { text } = exchange.head;
    const { body } = exchange.request;
    this.#exchange = exchange;
    this.#rest = undefined;
    this.started = true;
    this.inOneWrite = true;
    if (body === "stream") {
      this.#beginStream(exchange);
      return;
    }
    this.done = true;
    if (body === "none") this.backedUp = !this.#socket.write(text, "latin1");
    else if (body.length <= ONE_WRITE_BYTES) {
      const bytes = Buffer.allocUnsafe(text.length + body.length);
      bytes.write(text, "latin1");
      body.copy(bytes, text.length);
      this.backedUp = !this.#socket.write(bytes);
    } else {
      this.inOneWrite = false;
      this.#rest = body;
      this.#socket.cork();
      this.#socket.write(text, "latin1");
      this.#sendRest();
      this.#socket.uncork();
    }
  }

  /** @returns false = the socket's buffer is full */
  write(chunk: Buffer): boolean {
    const exchange = this.#exchange as Exchange;
    const socket = this.#socket;
    exchange.bodyTaken = true;
    this.inOneWrite = false;
    // A write has failed: what is left is to read the answer.
    if (!socket.writable) return true;
    if (exchange.head.bodyBytes === CHUNKED) {
      socket.cork();
      socket.write(`${chunk.length.toString(16)}\r\n`, "latin1");
      socket.write(chunk);
      this.backedUp = !socket.write("\r\n", "latin1");
      socket.uncork();
    } else this.backedUp = !socket.write(chunk);
    this.flushHead();
    return !this.backedUp;
  }

  end(): void {
    const { lastChunk } = this.#exchange as Exchange;
    if (lastChunk !== "") {
      this.inOneWrite = false;
      this.backedUp = !this.#socket.write(lastChunk, "latin1");
    }
    this.done = true;
    this.flushHead();
  }

  /** The socket's buffer has drained. */
  drained(): void {
    this.backedUp = false;
    if (this.#rest !== undefined) this.#sendRest();
  }

  /** Sends a head that waited for the first bytes of its body. */
  flushHead(): void {
    if (this.started) return;
    this.started = true;
    this.#socket.uncork();
  }

  #beginStream(exchange: Exchange): void {
    const { pending } = exchange;
    const socket = this.#socket;
    this.done = false;
    this.started = false;
    socket.cork();
    this.backedUp = !socket.write(exchange.head.text, "latin1");
    exchange.pending = undefined;
    for (const chunk of pending ?? []) this.write(chunk);
    if (exchange.ended) this.end();
    // The first bytes of the body often come in this turn: they then leave with the head.
    else if (!this.started) setImmediate(flushHead, this);
  }

  #sendRest(): void {
    let rest = this.#rest;
    let taking = true;
    while (taking && rest !== undefined) {
      taking = this.#socket.write(rest.subarray(0, PIECE_BYTES));
      rest = rest.length > PIECE_BYTES ? rest.subarray(PIECE_BYTES) : undefined;
    }
    this.#rest = rest;
    this.backedUp = !taking;
    this.done = rest === undefined;
  }
}

function flushHead(sender: RequestSender): void {
  sender.flushHead();
}

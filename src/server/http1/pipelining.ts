// Serves pipelined requests (RFC 9112 section 9.3.2) one after the other: the next could depend on what the last has
// changed, and must not be served at all once an answer has said that it closes the connection.
import type { Socket } from "node:net";
import { ClientBudget } from "../../client/client-budget.ts";
import { shareKey } from "../../client/client-address.ts";
import { peerOf } from "../../client/peer.ts";
import type { Http1Stream } from "./stream.ts";

/** The approximate size of a request that waits. One read of a connection can bring two thousand. */
const requestBytes = 2 * 1024;
/** This many may wait on every connection, without a budget: the number of connections bounds them. */
const alwaysWaiting = 4;
/** The budget for requests beyond `alwaysWaiting`, on all connections together; each client address has a share. */
const maxBytes = 20_000 * requestBytes;

export class Pipelining {
  // The number of requests that wait for their turn, by connection.
  readonly #waiting = new WeakMap<Socket, number>();
  readonly #memory: ClientBudget;
  readonly #tooMany: (socket: Socket) => void;

  /**
   * @param clientShare percent of the budget that one client address may have
   * @param tooMany breaks the connection off, and reports it
   */
  constructor(clientShare: number, tooMany: (socket: Socket) => void) {
    this.#memory = new ClientBudget(maxBytes, clientShare / 100);
    this.#tooMany = tooMany;
  }

  /**
   * Calls back when every earlier request on the connection is answered; never if the connection ends first.
   * @param stream a request whose turn has not come
   */
  wait(stream: Http1Stream, socket: Socket, serve: () => void): void {
    if (socket.destroyed) return;
    const client = shareKey(peerOf(socket));
    if (this.#of(socket) >= alwaysWaiting && !this.#memory.take(client, requestBytes)) {
      this.#tooMany(socket);
      return;
    }
    if (!this.#waiting.has(socket)) {
      // Reading pauses meanwhile, or requests would pile up as fast as the client can send them.
      socket.on("resume", () => this.#hold(socket));
      socket.once("close", () => {
        const beyond = this.#of(socket) - alwaysWaiting;
        if (beyond > 0) this.#memory.give(client, beyond * requestBytes);
        this.#waiting.set(socket, 0);
      });
    }
    this.#waiting.set(socket, this.#of(socket) + 1);
    this.#hold(socket);
    stream.whenItsTurn(() => {
      const left = this.#of(socket) - 1;
      // Negative: the connection has ended, and its memory was given back.
      if (left >= 0) this.#waiting.set(socket, left);
      if (left >= alwaysWaiting) this.#memory.give(client, requestBytes);
      if (this.#of(socket) === 0) socket.resume();
      serve();
    });
  }

  #of(socket: Socket): number {
    return this.#waiting.get(socket) ?? 0;
  }

  #hold(socket: Socket): void {
    if (this.#of(socket) > 0) socket.pause();
  }
}

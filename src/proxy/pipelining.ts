// Pipelined requests (RFC 9112 section 9.3.2) are served one after the other: the next could depend on what the last has
// changed, and must not be served at all once an answer has said that it closes the connection.
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

// On all connections together, at some 2 KiB each: one read of a connection can bring two thousand.
const mostWaiting = 20_000;

export class Pipelining {
  // Requests that wait for their turn, by connection.
  readonly #waiting = new WeakMap<Socket, number>();
  #total = 0;

  /**
   * Calls back when every earlier request on the connection is answered; never when the connection ends before.
   * Breaks the connection off when too many wait.
   * @param res has no socket yet: node:http gives it one when its turn has come
   */
  wait(res: ServerResponse, socket: Socket, serve: () => void): void {
    if (this.#total >= mostWaiting) socket.destroy();
    if (socket.destroyed) return;
    if (!this.#waiting.has(socket)) {
      // Nothing more is read meanwhile, or requests would pile up as fast as they can be sent.
      socket.on("resume", () => this.#hold(socket));
      socket.once("close", () => this.#add(socket, -this.#of(socket)));
    }
    this.#add(socket, 1);
    this.#hold(socket);
    res.once("socket", () => {
      this.#add(socket, -1);
      if (this.#of(socket) === 0) socket.resume();
      serve();
    });
  }

  #of(socket: Socket): number {
    return this.#waiting.get(socket) ?? 0;
  }

  #add(socket: Socket, count: number): void {
    this.#waiting.set(socket, this.#of(socket) + count);
    this.#total += count;
  }

  #hold(socket: Socket): void {
    if (this.#of(socket) > 0) socket.pause();
  }
}

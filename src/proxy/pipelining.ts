// Pipelined requests (RFC 9112 section 9.3.2) are served one after the other: the next could depend on what the last has
// changed, and must not be served at all once an answer has said that it closes the connection.
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

export class Pipelining {
  // Requests that wait for their turn, by connection.
  readonly #waiting = new WeakMap<Socket, number>();

  /**
   * Calls back when every earlier request on the connection is answered; never when the connection ends before.
   * @param res has no socket yet: node:http gives it one when its turn has come
   */
  wait(res: ServerResponse, socket: Socket, serve: () => void): void {
    const waiting = this.#waiting.get(socket);
    // Nothing more is read meanwhile, or requests would pile up in memory as fast as they can be sent.
    if (waiting === undefined) socket.on("resume", () => this.#hold(socket));
    this.#waiting.set(socket, (waiting ?? 0) + 1);
    this.#hold(socket);
    res.once("socket", () => {
      const left = (this.#waiting.get(socket) as number) - 1;
      this.#waiting.set(socket, left);
      if (left === 0) socket.resume();
      serve();
    });
  }

  #hold(socket: Socket): void {
    if ((this.#waiting.get(socket) as number) > 0) socket.pause();
  }
}

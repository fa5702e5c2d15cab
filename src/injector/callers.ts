// Bounds the webhook's connections and bodies. Everybody in the cluster can reach it, because no selector matches the
// API server. When there are too many, the least recently useful one is closed, so that a newcomer, possibly the API
// server, always gets in.
import type { IncomingMessage } from "node:http";
import type { Server } from "node:https";
import type { Socket } from "node:net";

const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}:${remotePort}`;

/** Closes connections beyond `max`: first those whose last admission request is longest ago. */
export class Connections {
  /** In that order, by address and port of the peer. */
  readonly #open = new Map<string, Socket>();

  constructor(server: Server, max: number) {
    const add = (socket: Socket): void => {
      const name = nameOf(socket);
      this.#open.set(name, socket);
      socket.once("close", () => {
        if (this.#open.get(name) === socket) this.#open.delete(name);
      });
      if (this.#open.size <= max) return;
      for (const [oldest, gone] of this.#open) {
        this.#open.delete(oldest);
        gone.destroy();
        break;
      }
    };
    server.on("connection", add);
    // The same connection once TLS is established: it replaces the entry of its raw socket.
    server.on("secureConnection", add);
  }

  /** Marks the connection of an admission request as the most recently useful. */
  used({ socket }: IncomingMessage): void {
    const name = nameOf(socket);
    if (!this.#open.delete(name)) return;
    this.#open.set(name, socket);
  }
}

/**
 * Bounds the bodies being read. The oldest is ended for a new one: an API server sends its body within milliseconds.
 */
export class Bodies {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #underWay = new Map<IncomingMessage, number>();
  #bytes = 0;

  constructor(limits: { readonly count: number; readonly bytes: number }) {
    this.#maxCount = limits.count;
    this.#maxBytes = limits.bytes;
  }

  begin(request: IncomingMessage): void {
    this.#underWay.set(request, 0);
    if (this.#underWay.size > this.#maxCount) this.#endOldest();
  }

  took(request: IncomingMessage, bytes: number): void {
    const before = this.#underWay.get(request);
    if (before === undefined) return;
    this.#underWay.set(request, before + bytes);
    this.#bytes += bytes;
    while (this.#bytes > this.#maxBytes) this.#endOldest();
  }

  end(request: IncomingMessage): void {
    this.#bytes -= this.#underWay.get(request) ?? 0;
    this.#underWay.delete(request);
  }

  #endOldest(): void {
    for (const request of this.#underWay.keys()) {
      this.end(request);
      request.destroy();
      return;
    }
  }
}

// Who calls the webhook. Everybody in the cluster reaches it, for no selector knows the API server's address: when there are
// too many, whoever was of use longest ago makes way, so that a newcomer, which may be the API server, always gets in.
import type { IncomingMessage } from "node:http";
import type { Server } from "node:https";
import type { Socket } from "node:net";

const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}:${remotePort}`;

/** Ends connections beyond so many: those first that have asked for no admission for the longest time. */
export class Connections {
  /** In that order. */
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
    // The same connection, once it is one of TLS.
    server.on("secureConnection", add);
  }

  /** This one has asked for an admission. */
  used({ socket }: IncomingMessage): void {
    const name = nameOf(socket);
    if (!this.#open.delete(name)) return;
    this.#open.set(name, socket);
  }
}

/** Bodies under way: the oldest makes way for one more, since an API server has sent its own within milliseconds. */
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

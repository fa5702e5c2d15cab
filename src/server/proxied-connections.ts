// Reads the PROXY protocol head with which connections from trusted TCP proxies begin: it names the client behind the
// proxy. A trusted peer without such a head is refused. Otherwise, whoever bypasses the proxy could have the proxy's
// trust.
import type { Socket } from "node:net";
import { tellPeer } from "../client/peer.ts";
import { type ProxyHead, ProxyHeadError, readProxyHead } from "./proxy-head.ts";

/** The callee has to close the socket. */
export type Refuse = (reason: string, socket: Socket) => void;

export class ProxiedConnections {
  readonly #limitMs: number;
  readonly #refuse: Refuse;
  readonly #reading = new Set<Socket>();

  /** @param limitMs the longest time for a head to arrive */
  constructor(limitMs: number, refuse: Refuse) {
    this.#limitMs = limitMs;
    this.#refuse = refuse;
  }

  /**
   * Calls back once the head has named the peer, unless the connection ends or is refused first. Bytes read after the
   * head are put back in front.
   */
  accept(socket: Socket, serve: (socket: Socket) => void): void {
    let held: Buffer = Buffer.alloc(0);
    this.#reading.add(socket);
    const stop = (): void => {
      clearTimeout(timer);
      this.#reading.delete(socket);
      socket.off("readable", look).off("close", stop).off("end", ended).off("error", stop);
    };
    const refuse = (reason: string): void => {
      stop();
      this.#refuse(reason, socket);
    };
    const timer = setTimeout(() => refuse("has not sent its PROXY head in time"), this.#limitMs);
    // The connection ended before its head: for example a load balancer's check that the port is open.
    const ended = (): void => {
      stop();
      socket.destroy();
    };
    const look = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const head = tried(held);
      if (typeof head === "string") refuse(head);
      if (typeof head !== "object") return;
      stop();
      if (head.source !== undefined) tellPeer(socket, head.source);
      if (held.length > head.length) socket.unshift(held.subarray(head.length));
      serve(socket);
    };
    socket.on("readable", look).on("close", stop).on("end", ended).on("error", stop);
  }

  /** Destroys the connections whose head has not come yet. */
  destroy(): void {
    for (const socket of this.#reading) socket.destroy();
  }
}

/** @returns a text = the fault of the head; undefined = more bytes are needed */
function tried(bytes: Buffer): ProxyHead | string | undefined {
  try {
    return readProxyHead(bytes);
  } catch (error) {
    if (error instanceof ProxyHeadError) return error.message;
    throw error;
  }
}

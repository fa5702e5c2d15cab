// Connections from trusted proxies of TCP, which begin with who is behind them (PROXY protocol). Nothing is guessed: a
// trusted peer that does not begin so is refused, or whoever comes past the proxy could have the proxy's trust.
import type { Socket } from "node:net";
import { tellPeer } from "../client/peer.ts";
import { type ProxyHead, ProxyHeadError, readProxyHead } from "./proxy-head.ts";

/** It is the callee's to close. */
export type Refuse = (reason: string, socket: Socket) => void;

export class ProxiedConnections {
  readonly #limitMs: number;
  readonly #refuse: Refuse;
  readonly #reading = new Set<Socket>();

  /** @param limitMs longest time for a head to arrive */
  constructor(limitMs: number, refuse: Refuse) {
    this.#limitMs = limitMs;
    this.#refuse = refuse;
  }

  /**
   * Calls back once with the peer that was told, unless the connection ends, or is refused, before. What was read behind
   * the head is before what will be.
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
    // A load balancer that looks whether somebody listens.
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

  /** Ends those whose head is still to come. */
  destroy(): void {
    for (const socket of this.#reading) socket.destroy();
  }
}

/** @returns a text = what is wrong with it */
function tried(bytes: Buffer): ProxyHead | string | undefined {
  try {
    return readProxyHead(bytes);
  } catch (error) {
    if (error instanceof ProxyHeadError) return error.message;
    throw error;
  }
}

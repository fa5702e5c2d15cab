// Bounds how much of a response may wait in memory for its client, and watches slow clients.
import type { Socket } from "node:net";
import { shareKey } from "../client/client-address.ts";
import type { ClientLimits } from "../client/client-limits.ts";
import type { Taker } from "../client/taking-pace.ts";
import { handedOver } from "../client/unacknowledged.ts";
import type { ServerStream } from "./server-stream.ts";

/** How much of an answer may wait for its client, so that the upstream connection is free for others. */
const aheadBytes = 256 * 1024;

export abstract class ClientTaker implements Taker {
  setIndex = -1;
  waitedMs = 0;
  takenBefore = -1;
  handedBefore = 0;
  protected readonly stream: ServerStream;
  protected readonly limits: ClientLimits;
  readonly #client: string;
  /** Bytes that it holds of the budget. */
  #reserved = 0;

  /** @param client the one whose budget a waiting answer uses */
  constructor(stream: ServerStream, limits: ClientLimits, client: string) {
    this.stream = stream;
    this.limits = limits;
    this.#client = client;
  }

  get socket(): Socket | null {
    return this.stream.socket;
  }

  get shared(): boolean {
    return this.stream.shared;
  }

  handed(): number {
    const { stream } = this;
    if (stream.shared) return stream.bytesWritten - stream.waitingBytes;
    return stream.socket === null ? 0 : handedOver(stream.socket);
  }

  tooSlow(): void {
    // A body without framing would otherwise look complete.
    this.stream.reset();
  }

  protected mayRunAhead(): boolean {
    if (this.#reserved === 0 && this.limits.buffers.take(shareKey(this.#client), aheadBytes)) {
      this.#reserved = aheadBytes;
    }
    return this.stream.waitingBytes < this.#reserved;
  }

  /** The client has taken everything, or the exchange is over. */
  protected release(): void {
    this.limits.taking.leave(this);
    if (this.#reserved > 0) this.limits.buffers.give(shareKey(this.#client), this.#reserved);
    this.#reserved = 0;
  }
}

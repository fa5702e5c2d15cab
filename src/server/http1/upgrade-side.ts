// The client's side of an upgrade while nobody has answered it: the HTTP parser has let go of the connection, so it is
// read here, or its end would go unnoticed. What comes early is kept, within a bound, for the tunnel.
import type { Socket } from "node:net";

const maxEarlyBytes = 65_536;

export class UpgradeSide {
  readonly socket: Socket;
  readonly #early: Buffer[];
  #bytes: number;

  /** @param head bytes that came behind the request head */
  constructor(socket: Socket, head: Buffer) {
    this.socket = socket;
    this.#early = head.length > 0 ? [head] : [];
    this.#bytes = head.length;
    socket.on("error", this.#gone).on("end", this.#gone).on("data", this.#keep);
  }

  /** Hands the connection over; from now on the caller reads it. @returns what came early */
  take(): Buffer {
    this.socket.off("error", this.#gone).off("end", this.#gone).off("data", this.#keep);
    this.socket.pause();
    return Buffer.concat(this.#early);
  }

  readonly #keep = (chunk: Buffer): void => {
    this.#early.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > maxEarlyBytes) this.socket.pause();
  };

  readonly #gone = (): void => void this.socket.destroy();
}

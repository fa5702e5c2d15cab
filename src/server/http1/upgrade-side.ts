// The client's side of an upgrade. Until the upgrade is answered, nobody parses the connection, so this class reads it:
// else its end would go unnoticed. Bytes that come early are kept for the tunnel, within a bound.
import type { Socket } from "node:net";
import type { DetachedConnection } from "../../exchange/server-stream.ts";
import { resetConnection } from "../../http1/reset.ts";

const maxEarlyBytes = 65_536;
const lingerMs = 1_000;
// The kernel's probes notice a peer that vanished silently.
const keepAliveMs = 30_000;

export class UpgradeSide implements DetachedConnection {
  readonly side: Socket;
  #early: Buffer[];
  #bytes: number;
  #head = "";

  /** @param head bytes that came after the request head */
  constructor(socket: Socket, head: Buffer) {
    this.side = socket;
    this.#early = head.length > 0 ? [head] : [];
    this.#bytes = head.length;
    socket.on("error", this.#gone).on("end", this.#gone).on("data", this.#keep);
  }

  get early(): Buffer {
    return Buffer.concat(this.#early);
  }

  /** Hands the connection over; from now on the caller reads it. @param fields of the 101, which can be sent */
  take(fields: readonly string[]): DetachedConnection {
    this.side.off("error", this.#gone).off("end", this.#gone).off("data", this.#keep);
    this.side.pause();
    let head = "HTTP/1.1 101 Switching Protocols\r\n";
    for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
    this.#head = `${head}\r\n`;
    return this;
  }

  accept(taken: () => void): void {
    this.#early = [];
    this.side.setTimeout(0);
    this.side.setKeepAlive(true, keepAliveMs);
    this.side.write(this.#head, "latin1", taken);
  }

  /**
   * Ends the connection after an answer other than 101. Bytes after the request are dropped, not left unread: closing
   * on unread bytes would reset the connection before its client has read the answer (RFC 9112 section 9.6).
   */
  decline(): void {
    if (this.#bytes === 0) {
      this.side.destroySoon();
      return;
    }
    this.side.off("data", this.#keep);
    this.#early = [];
    this.side.end();
    this.side.resume();
    const timer = setTimeout(() => this.side.destroy(), lingerMs).unref();
    this.side.once("close", () => clearTimeout(timer));
  }

  destroy(): void {
    this.side.destroy();
  }

  reset(): void {
    resetConnection(this.side);
  }

  readonly #keep = (chunk: Buffer): void => {
    this.#early.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > maxEarlyBytes) this.side.pause();
  };

  readonly #gone = (): void => void this.side.destroy();
}

// Limits how many connections one client address may have, so that others get theirs.
import type { Socket } from "node:net";
import { releaseMemory } from "../v8/release-memory.ts";
import { shareOwner, type TrustedProxies } from "./client-address.ts";
import { CrowdMemory } from "./crowd-memory.ts";
import { peerOf } from "./peer.ts";

export class ConnectionShare {
  readonly #maxOfOne: number;
  readonly #proxies: TrustedProxies;
  // Open connections by client: bounded by the number of connections.
  readonly #byClient = new Map<string, number>();
  #open = 0;
  readonly #memory = new CrowdMemory(releaseMemory);

  /** @param proxies their connections carry many clients and have no share */
  constructor(limits: { maxConnections: number; clientShare: number }, proxies: TrustedProxies) {
    this.#maxOfOne = Math.ceil((limits.maxConnections * limits.clientShare) / 100);
    this.#proxies = proxies;
  }

  /** The open connections of all clients. */
  get open(): number {
    return this.#open;
  }

  /** @returns the client whose share it counts against; undefined = none: many clients come by that address */
  shareOf(socket: Socket): string | undefined {
    const address = peerOf(socket);
    return this.#proxies.trusts(address) ? undefined : shareOwner(address);
  }

  /** @returns false = it is one too many, and the caller has to close it */
  admit(socket: Socket): boolean {
    const key = this.shareOf(socket);
    if (key !== undefined) {
      const own = (this.#byClient.get(key) ?? 0) + 1;
      if (own > this.#maxOfOne) return false;
      this.#byClient.set(key, own);
    }
    this.#memory.count((this.#open += 1));
    socket.once("close", () => this.#closed(key));
    return true;
  }

  #closed(key: string | undefined): void {
    this.#memory.count((this.#open -= 1));
    if (key === undefined) return;
    const own = (this.#byClient.get(key) ?? 0) - 1;
    if (own > 0) this.#byClient.set(key, own);
    else this.#byClient.delete(key);
  }
}

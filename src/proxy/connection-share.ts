// How many connections one client address may have: the rest stays for others.
import type { Socket } from "node:net";
import { plainAddress, shareKey, type TrustedProxies } from "./client-address.ts";

export class ConnectionShare {
  readonly #mostOfOne: number;
  readonly #proxies: TrustedProxies;
  // Of those that are open: as bounded as the connections are.
  readonly #open = new Map<string, number>();

  /** @param proxies bring the connections of many clients, and are not counted */
  constructor(mostOfOne: number, proxies: TrustedProxies) {
    this.#mostOfOne = mostOfOne;
    this.#proxies = proxies;
  }

  /** @returns false = one too many; it is the caller's to close */
  admit(socket: Socket): boolean {
    const address = plainAddress(socket.remoteAddress ?? "");
    if (address === "unix" || this.#proxies.trusts(address)) return true;
    const key = shareKey(address);
    const open = (this.#open.get(key) ?? 0) + 1;
    if (open > this.#mostOfOne) return false;
    this.#open.set(key, open);
    socket.once("close", () => this.#closed(key));
    return true;
  }

  #closed(key: string): void {
    const open = (this.#open.get(key) ?? 0) - 1;
    if (open > 0) this.#open.set(key, open);
    else this.#open.delete(key);
  }
}

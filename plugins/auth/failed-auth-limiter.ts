// Counts bad credentials per client address and per key id, in fixed windows and bounded memory.
import { boundedCache, type Clock } from "../../src/plugin-api/contract.ts";
import { clientNetwork } from "./client-network.ts";

interface Window {
  endsMono: number;
  failures: number;
}

const maxCounted = 65_536;

/** Counts the failures of one process. Sidecars share no counts. */
export class FailedAuthLimiter {
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #clock: Clock;
  readonly #windows = boundedCache<Window>(maxCounted);

  /** @param workers how many processes count for the same sidecar: each allows its share */
  constructor(options: { failures: number; windowSeconds: number }, clock: Clock, workers = 1) {
    this.#limit = Math.max(1, Math.floor(options.failures / workers));
    this.#windowMs = options.windowSeconds * 1000;
    this.#clock = clock;
  }

  /**
   * @param keyId id of a key that is known but not good
   * @returns whole seconds to wait, or 0 when the client may go on
   */
  waitSeconds(address: string, keyId?: string): number {
    if (this.#windows.size === 0) return 0;
    return this.#wait(`a:${clientNetwork(address)}`) || (keyId === undefined ? 0 : this.#wait(`k:${keyId}`));
  }

  /** Nothing to release: windows are no timers. */
  close(): void {}

  failed(address: string, keyId: string | undefined): void {
    this.#count(`a:${clientNetwork(address)}`);
    if (keyId !== undefined) this.#count(`k:${keyId}`);
  }

  #wait(name: string): number {
    const window = this.#windows.get(name);
    if (window === undefined || window.failures < this.#limit) return 0;
    return Math.max(0, Math.ceil((window.endsMono - this.#clock.mono()) / 1000));
  }

  #count(name: string): void {
    const now = this.#clock.mono();
    const window = this.#windows.get(name);
    if (window === undefined || window.endsMono <= now) {
      this.#windows.set(name, { endsMono: now + this.#windowMs, failures: 1 });
    } else window.failures += 1;
  }
}

// Finds out whether another live sidecar has this one's service and name, as with a copied environment file: each
// overwrites the heartbeat of the other. Every process has a boot id in its heartbeat. A heartbeat of another boot id
// that was written after this one's last is a live sidecar's. One that was there before this one's first is of the
// process before, which may be dead: a plain restart.
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";

/** How often it is told anew while there is one. */
const tellEveryMs = 600_000;

/** @returns host, process id and a random part: who reads it finds the process, and no two are the same */
export function newBoot(): string {
  const host = hostname()
    .replace(/[^\w.-]/g, "?")
    .slice(0, 64);
  return `${host}/${process.pid}/${randomBytes(8).toString("hex")}`;
}

/** The end of a heartbeat of that process. */
export const bootEnd = (boot: string): string => `"boot":"${boot}"}`;

/** Sidecars of older versions write no boot id. */
const end = /"seenAt":(\d{1,16})(?:,"boot":"([\w.?/-]{1,120})")?\}$/;

export class Namesakes {
  readonly #boot: string;
  readonly #onFound: (boot: string) => void;
  /** Time of this one's last heartbeat, by Redis' clock. */
  #wroteAt = Infinity;
  #found: { readonly boot: string; readonly untilMono: number } | undefined;
  #toldMono = -Infinity;

  /** @param onFound called at a bounded rate while there is one, with its boot id; "" = an older version */
  constructor(boot: string, onFound: (boot: string) => void) {
    this.#boot = boot;
    this.#onFound = onFound;
  }

  /** Boot id of the other one; "" = of an older version, null = there is none. */
  get current(): string | null {
    return this.#found !== undefined && performance.now() < this.#found.untilMono ? this.#found.boot : null;
  }

  /**
   * Called after each heartbeat.
   * @param wroteAt its time by Redis' clock
   * @param before the end of the heartbeat that it replaced; "" = there was none
   * @param keptMs for how long one that is found counts
   * @returns whether one was found where none was known
   */
  wrote(wroteAt: number, before: string, keptMs: number): boolean {
    const [, seenAt, boot = ""] = end.exec(before) ?? [];
    const isOther = seenAt !== undefined && boot !== this.#boot && Number(seenAt) >= this.#wroteAt;
    this.#wroteAt = wroteAt;
    if (!isOther) return false;
    const isNew = this.current === null;
    const nowMono = performance.now();
    this.#found = { boot, untilMono: nowMono + keptMs };
    if (nowMono - this.#toldMono >= tellEveryMs) {
      this.#toldMono = nowMono;
      this.#onFound(boot);
    }
    return isNew;
  }
}

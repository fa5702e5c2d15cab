// Memory that a crowd of connections took goes back to the system when the crowd has gone: V8 keeps it for the next one,
// 60 MiB for 4,000 connections, and collects nothing while nothing happens.

/** With fewer there is not enough to give back for a pause. */
const minConnections = 1_000;
/** Of those there were: as long as more are left, the memory is wanted. */
const leftPart = 0.25;
/** For those who come again at once. */
const waitMs = 5_000;
/** A pause is as long as what stays is large: whoever comes and goes over and over is not to have one after the other. */
const minRestMs = 60_000;
/** Of the time, at most, that pauses take. */
const pausePart = 0.001;

export class CrowdMemory {
  readonly #release: () => void;
  readonly #mono: () => number;
  #restsUntilMono = -Infinity;
  #open = 0;
  /** Since memory was last given back. */
  #most = 0;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param release gives memory back, at the price of a pause */
  constructor(release: () => void, mono: () => number = () => performance.now()) {
    this.#release = release;
    this.#mono = mono;
  }

  /** @param open connections there are now */
  count(open: number): void {
    this.#open = open;
    if (open > this.#most) this.#most = open;
    else if (this.#timer === undefined && this.#hasGone()) this.#timer = this.#wait();
  }

  #hasGone(): boolean {
    return this.#most >= minConnections && this.#open <= this.#most * leftPart;
  }

  #wait(): NodeJS.Timeout {
    const delayMs = Math.max(waitMs, this.#restsUntilMono - this.#mono());
    return setTimeout(() => {
      this.#timer = undefined;
      if (!this.#hasGone()) return;
      this.#most = this.#open;
      const startMono = this.#mono();
      this.#release();
      const endMono = this.#mono();
      this.#restsUntilMono = endMono + Math.max(minRestMs, (endMono - startMono) / pausePart);
    }, delayMs).unref();
  }
}

// Memory that a crowd of connections took goes back to the system when the crowd has gone: V8 keeps it for the next one,
// 60 MiB for 4,000 connections, and collects nothing while nothing happens.

/** With fewer there is not enough to give back for a pause. */
const leastConnections = 1_000;
/** Of those there were: as long as more are left, the memory is wanted. */
const leftPart = 0.25;
/** For those who come again at once. */
const waitMs = 5_000;

export class CrowdMemory {
  readonly #release: () => void;
  #open = 0;
  /** Since memory was last given back. */
  #most = 0;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param release gives memory back, at the price of a pause */
  constructor(release: () => void) {
    this.#release = release;
  }

  /** @param open connections there are now */
  count(open: number): void {
    this.#open = open;
    if (open > this.#most) this.#most = open;
    else if (this.#timer === undefined && this.#hasGone()) this.#timer = this.#wait();
  }

  #hasGone(): boolean {
    return this.#most >= leastConnections && this.#open <= this.#most * leftPart;
  }

  #wait(): NodeJS.Timeout {
    return setTimeout(() => {
      this.#timer = undefined;
      if (!this.#hasGone()) return;
      this.#most = this.#open;
      this.#release();
    }, waitMs).unref();
  }
}

// Returns the memory of a crowd of connections to the system once the crowd has gone. V8 would keep it for the next
// crowd, 60 MiB for 4,000 connections, and runs no garbage collection while the process is idle.

/** With fewer connections, there is too little memory to be worth a pause. */
const minConnections = 1_000;
/** While more than this part of the crowd is left, its memory is still needed. */
const leftPart = 0.25;
/** Time for clients that reconnect at once. */
const waitMs = 5_000;
/** The pause grows with the live heap: crowds that come and go must not cause one pause after the other. */
const minRestMs = 60_000;
/** The largest part of the time that pauses may take. */
const pausePart = 0.001;

export class CrowdMemory {
  readonly #release: () => void;
  readonly #mono: () => number;
  #restsUntilMono = -Infinity;
  #open = 0;
  /** The highest count since memory was last returned. */
  #most = 0;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** @param release returns memory to the system, at the cost of a pause */
  constructor(release: () => void, mono: () => number = () => performance.now()) {
    this.#release = release;
    this.#mono = mono;
  }

  /** @param open the number of connections now */
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

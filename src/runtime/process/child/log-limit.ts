// So many lines a second of a plugin's log leave its process; the sidecar counts once more.
const linesPerSecond = 100;

export class LogLimit {
  #second = 0;
  #lines = 0;
  #dropped = 0;

  /** @returns how many were dropped before this one; undefined = this one is */
  take(nowMs: number): number | undefined {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
    }
    this.#lines += 1;
    if (this.#lines > linesPerSecond) {
      this.#dropped += 1;
      return undefined;
    }
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}

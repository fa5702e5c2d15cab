// Limits how many log lines per second leave a plugin's process. The sidecar applies its own limit again.
const linesPerSecond = 100;

export class LogLimit {
  #second = 0;
  #lines = 0;
  #dropped = 0;

  /** @returns how many lines were dropped before this one; undefined = this one is to be dropped */
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

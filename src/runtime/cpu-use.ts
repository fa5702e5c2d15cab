// Measures the CPU share of a plugin, and tells when it has been over its limit for too long.

/** Consecutive measures, about one second apart. */
const maxMeasuresOver = 10;

export class CpuUse {
  readonly #most: number;
  #before: { readonly cpuMs: number; readonly atMs: number } | undefined;
  #share: number | undefined;
  #over = 0;

  /** @param most CPU cores it may use on average over a longer time (1 = one core) */
  constructor(most = Infinity) {
    this.#most = most;
  }

  /** CPU share between the last two measures (1 = one core); undefined = unknown. */
  get share(): number | undefined {
    return this.#share;
  }

  /**
   * @param cpuMs CPU time used so far; undefined = unknown
   * @param atMs when it was measured
   * @returns why the plugin has to end, if it has to
   */
  measured(cpuMs: number | undefined, atMs: number): string | undefined {
    const before = this.#before;
    this.#before = cpuMs === undefined ? undefined : { cpuMs, atMs };
    if (cpuMs === undefined || before === undefined) return undefined;
    // The total falls when something that it counts has ended.
    this.#share = Math.max(0, cpuMs - before.cpuMs) / (atMs - before.atMs);
    this.#over = this.#share > this.#most ? this.#over + 1 : 0;
    if (this.#over < maxMeasuresOver) return undefined;
    return `it takes ${this.#share.toFixed(2)} of a processor, and may take ${this.#most}`;
  }
}

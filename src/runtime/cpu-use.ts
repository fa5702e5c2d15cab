// What a plugin takes of the machine's processors, and when that is more than it may.

/** In a row, about a second each. */
const maxMeasuresOver = 10;

export class CpuUse {
  readonly #most: number;
  #before: { readonly cpuMs: number; readonly atMs: number } | undefined;
  #share: number | undefined;
  #over = 0;

  /** @param most processors that it may take for long */
  constructor(most = Infinity) {
    this.#most = most;
  }

  /** Of a processor, between the last two measures; undefined where that cannot be told. */
  get share(): number | undefined {
    return this.#share;
  }

  /**
   * @param cpuMs time of processors that it has had; undefined = that cannot be told
   * @returns why it has to end, if it has
   */
  measured(cpuMs: number | undefined, atMs: number): string | undefined {
    const before = this.#before;
    this.#before = cpuMs === undefined ? undefined : { cpuMs, atMs };
    if (cpuMs === undefined || before === undefined) return undefined;
    // Less than before: some of what was counted is there no more.
    this.#share = Math.max(0, cpuMs - before.cpuMs) / (atMs - before.atMs);
    this.#over = this.#share > this.#most ? this.#over + 1 : 0;
    if (this.#over < maxMeasuresOver) return undefined;
    return `it takes ${this.#share.toFixed(2)} of a processor, and may take ${this.#most}`;
  }
}

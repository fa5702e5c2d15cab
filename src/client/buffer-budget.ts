// The memory that bodies may wait in for slow clients, over all connections: reserved before it is used, and no single
// client's alone.

export class BufferBudget {
  readonly #most: number;
  readonly #maxOfOne: number;
  // Those that have something reserved now: bounded by the budget itself.
  readonly #byClient = new Map<string, number>();
  #taken = 0;

  /** @param share most of it that one client may have, 0 to 1 */
  constructor(maxBytes: number, share: number) {
    this.#most = maxBytes;
    this.#maxOfOne = maxBytes * share;
  }

  get taken(): number {
    return this.#taken;
  }

  /** @returns false = not now; else `give` what was taken back, once */
  take(client: string, bytes: number): boolean {
    const own = (this.#byClient.get(client) ?? 0) + bytes;
    if (this.#taken + bytes > this.#most || own > this.#maxOfOne) return false;
    this.#taken += bytes;
    this.#byClient.set(client, own);
    return true;
  }

  give(client: string, bytes: number): void {
    const own = (this.#byClient.get(client) ?? 0) - bytes;
    this.#taken -= bytes;
    if (own > 0) this.#byClient.set(client, own);
    else this.#byClient.delete(client);
  }
}

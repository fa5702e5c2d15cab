// What there is only so much of for all clients together, reserved before it is used and no single client's alone: the
// memory that bodies may wait in for slow ones, requests that wait for their turn, requests over HTTP/2.

export class ClientBudget {
  readonly #most: number;
  readonly #maxOfOne: number;
  // Those that have something reserved now: bounded by the budget itself.
  readonly #byClient = new Map<string, number>();
  #taken = 0;

  /** @param share most of it that one client may have, 0 to 1 */
  constructor(most: number, share: number) {
    this.#most = most;
    this.#maxOfOne = most * share;
  }

  get taken(): number {
    return this.#taken;
  }

  /**
   * @param client undefined = whose share nobody counts
   * @returns false = not now; else `give` what was taken back, once
   */
  take(client: string | undefined, amount: number): boolean {
    if (this.#taken + amount > this.#most) return false;
    if (client === undefined) {
      this.#taken += amount;
      return true;
    }
    const own = (this.#byClient.get(client) ?? 0) + amount;
    if (own > this.#maxOfOne) return false;
    this.#taken += amount;
    this.#byClient.set(client, own);
    return true;
  }

  give(client: string | undefined, amount: number): void {
    this.#taken -= amount;
    if (client === undefined) return;
    const own = (this.#byClient.get(client) ?? 0) - amount;
    if (own > 0) this.#byClient.set(client, own);
    else this.#byClient.delete(client);
  }
}

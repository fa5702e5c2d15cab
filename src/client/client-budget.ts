// A budget that all clients share, of which each may have only a part. It is reserved before use: for example the
// memory in which bodies wait for slow clients, pipelined requests, HTTP/2 requests.

export class ClientBudget {
  readonly #most: number;
  readonly #maxOfOne: number;
  // The clients that have something reserved now: the budget itself bounds their number.
  readonly #byClient = new Map<string, number>();
  #taken = 0;

  /** @param share the part of it that one client may have, 0 to 1 */
  constructor(most: number, share: number) {
    this.#most = most;
    this.#maxOfOne = most * share;
  }

  get taken(): number {
    return this.#taken;
  }

  /**
   * @param client undefined = counts against no client's share
   * @returns false = nothing was taken; otherwise call `give` once
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

// Counts items per client of the sidecar.

interface Counted {
  readonly client?: string | undefined;
}

/** Its size is bounded by the number of counted items. Items without a client are not counted. */
export class ClientCounts {
  readonly #counts = new Map<string, number>();

  of({ client }: Counted): number {
    return client === undefined ? 0 : (this.#counts.get(client) ?? 0);
  }

  add({ client }: Counted, by: 1 | -1): void {
    if (client === undefined) return;
    const count = (this.#counts.get(client) ?? 0) + by;
    if (count > 0) this.#counts.set(client, count);
    else this.#counts.delete(client);
  }
}

// Bytes of requests that wait for their turn on their connection: one read of each at most, and all together bounded.
import { shareKey } from "../../client/client-address.ts";
import { ClientBudget } from "../../client/client-budget.ts";

/** So many may wait on every connection, whatever waits on others: as bounded as connections are. */
const alwaysBytes = 8 * 1024;
/** Beyond these, on all connections together; one client address has its share. */
const maxBytes = 40 * 1024 * 1024;

export class HeldBytes {
  readonly #memory: ClientBudget;

  /** @param clientShare percent of what may wait that one client address may have */
  constructor(clientShare: number) {
    this.#memory = new ClientBudget(maxBytes, clientShare / 100);
  }

  /** @returns what is to be given back; undefined = there is no memory for them */
  take(peer: string, bytes: number): number | undefined {
    if (bytes <= alwaysBytes) return 0;
    return this.#memory.take(shareKey(peer), bytes) ? bytes : undefined;
  }

  give(peer: string, taken: number): void {
    if (taken > 0) this.#memory.give(shareKey(peer), taken);
  }
}

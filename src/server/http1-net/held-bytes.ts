// Bounds the memory for bytes of requests that wait for their turn: at most one read on each connection, and a limit for
// all connections together.
import { shareKey } from "../../client/client-address.ts";
import { ClientBudget } from "../../client/client-budget.ts";

/** This many may wait on every connection, without a budget: the number of connections bounds them. */
const alwaysBytes = 8 * 1024;
/** The budget for bytes beyond `alwaysBytes`, on all connections together; each client address has a share. */
const maxBytes = 40 * 1024 * 1024;

export class HeldBytes {
  readonly #memory: ClientBudget;

  /** @param clientShare percent of the budget that one client address may have */
  constructor(clientShare: number) {
    this.#memory = new ClientBudget(maxBytes, clientShare / 100);
  }

  /** @returns the number to pass to `give` later; undefined = there is no memory for them */
  take(peer: string, bytes: number): number | undefined {
    if (bytes <= alwaysBytes) return 0;
    return this.#memory.take(shareKey(peer), bytes) ? bytes : undefined;
  }

  give(peer: string, taken: number): void {
    if (taken > 0) this.#memory.give(shareKey(peer), taken);
  }
}

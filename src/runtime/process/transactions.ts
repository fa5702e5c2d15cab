// Keeps the transactions that a plugin's process has open. Each runs in the plugin's own database, which limits its
// time and takes its connection back, whatever the process does.
import {
  type Database,
  DatabaseError,
  type DatabaseValue,
  type QueryOptions,
  type QueryResult,
  type Transaction,
} from "../../plugin-api/database.ts";
import { Unreadable } from "./received.ts";

/** Includes transactions that wait for a connection. */
const maxTransactions = 64;

interface Open {
  readonly begun: PromiseWithResolvers<void>;
  /** Resolves to commit the transaction, rejects to roll it back. */
  readonly end: PromiseWithResolvers<void>;
  /** Aborts the transaction and its running query. */
  readonly abort: AbortController;
  transaction: Transaction | undefined;
  isAwaited: boolean;
  isEnded: boolean;
  /** Reason for a rollback: the error of the last query that failed. The database judges its server by it. */
  failure: unknown;
  rolledBackFor: unknown;
}

export class Transactions {
  readonly #db: Database;
  /** By the numbers that the process gives them. */
  readonly #open = new Map<number, Open>();
  #closed = false;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * Resolves when the transaction is committed, or rolled back as the process asked; rejects when it ended otherwise.
   */
  async run(number: number, limits: Pick<QueryOptions, "timeoutMs" | "readOnly">): Promise<void> {
    if (this.#closed) throw new Error("its process is gone");
    if (this.#open.has(number)) throw new Unreadable("a transaction has the number of another one");
    if (this.#open.size >= maxTransactions)
      throw new Error(`more than ${maxTransactions} transactions of this plugin are under way`);
    const open: Open = {
      begun: Promise.withResolvers<void>(),
      end: Promise.withResolvers<void>(),
      abort: new AbortController(),
      transaction: undefined,
      isAwaited: false,
      isEnded: false,
      failure: new Error("rolled back"),
      rolledBackFor: undefined,
    };
    open.begun.promise.catch(() => {});
    open.end.promise.catch(() => {});
    this.#open.set(number, open);
    try {
      await this.#db.transaction(
        async (transaction) => {
          open.transaction = transaction;
          open.begun.resolve();
          await open.end.promise;
        },
        { ...limits, signal: open.abort.signal },
      );
    } catch (error) {
      open.begun.reject(error);
      if (error !== open.rolledBackFor) throw error;
    } finally {
      this.#open.delete(number);
    }
  }

  /** Resolves when the transaction takes queries; rejects if it never will. */
  begun(number: number): Promise<void> {
    const open = this.#known(number);
    if (open.isAwaited) throw new Unreadable("a transaction is waited for already");
    open.isAwaited = true;
    return open.begun.promise;
  }

  async query(
    number: number,
    text: string,
    values: readonly DatabaseValue[] | undefined,
    options: Pick<QueryOptions, "maxRows"> | undefined,
  ): Promise<QueryResult> {
    const open = this.#known(number);
    if (open.transaction === undefined) throw new DatabaseError("refused", "the transaction is not begun");
    try {
      return await open.transaction.query(text, values, options);
    } catch (error) {
      open.failure = error;
      throw error;
    }
  }

  /** Commits or rolls back after the queries sent so far, or aborts the transaction. */
  end(number: number, how: unknown): void {
    const open = this.#known(number);
    open.isEnded = true;
    if (how === "commit") open.end.resolve();
    else if (how === "rollback") open.end.reject((open.rolledBackFor = open.failure));
    else open.abort.abort();
  }

  close(): void {
    this.#closed = true;
    for (const { abort } of this.#open.values()) abort.abort();
  }

  #known(number: number): Open {
    const open = this.#open.get(number);
    if (open === undefined || open.isEnded) throw new DatabaseError("refused", "the transaction is over");
    return open;
  }
}

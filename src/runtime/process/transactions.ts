// The transactions that a plugin's process has open. Each is one of the plugin's own database, which bounds it in time and
// takes its connection back, whatever the process does.
import {
  type Database,
  DatabaseError,
  type DatabaseValue,
  type QueryOptions,
  type QueryResult,
  type Transaction,
} from "../../plugin-api/database.ts";
import { Unreadable } from "./received.ts";

/** With those that wait for a connection. */
const maxTransactions = 64;

interface Open {
  readonly begun: PromiseWithResolvers<void>;
  /** Resolves to commit it, rejects to roll it back. */
  readonly end: PromiseWithResolvers<void>;
  /** Breaks it off, with the query that is under way. */
  readonly abort: AbortController;
  transaction: Transaction | undefined;
  isAwaited: boolean;
  isEnded: boolean;
  /** What a rollback is for: the last query that failed, by which the database judges its server. */
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

  /** Resolves when it is committed, or rolled back as the process asked; rejects when it ended otherwise. */
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

  /** Resolves when it takes queries; rejects when it never does. */
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

  /** After the queries that it has so far, unless it is broken off. */
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

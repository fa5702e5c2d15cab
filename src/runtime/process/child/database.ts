// Gives a plugin in a separate process its database. The sidecar runs the queries and transactions, and ends the
// transactions.
import {
  type Database,
  DatabaseError,
  type DatabaseErrorReason,
  type DatabaseValue,
  type QueryOptions,
  type QueryResult,
  type Transaction,
} from "../../../plugin-api/database.ts";

type Ask = (service: string, ...args: readonly unknown[]) => Promise<{ readonly value: unknown }>;

export function databaseOf(ask: Ask): Database {
  const asked: Ask = async (service, ...args) => {
    const reply = await ask(service, ...args);
    const { failed } = Object(reply.value) as { readonly failed?: Failed };
    if (failed !== undefined) throw errorOf(failed);
    return reply;
  };
  let transactions = 0;
  return {
    async query(text, values = [], { signal, ...options } = {}) {
      signal?.throwIfAborted();
      const { value } = await asked("db.query", text, values.map(plain), options);
      return value as QueryResult;
    },
    async transaction(work, { signal, ...options } = {}) {
      signal?.throwIfAborted();
      transactions += 1;
      return await new OpenTransaction(asked, transactions).run(work, options, signal);
    },
  };
}

class OpenTransaction implements Transaction {
  readonly #ask: Ask;
  readonly #number: number;
  #isOver = false;

  constructor(ask: Ask, number: number) {
    this.#ask = ask;
    this.#number = number;
  }

  async run<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    options: Pick<QueryOptions, "timeoutMs" | "readOnly">,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    // The answer comes when the transaction is over, however it ends: the time limit is the sidecar's.
    const whole = this.#ask("db.transaction", this.#number, options);
    const onAbort = (): void => this.#end("abort");
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      // If `begun` fails, the error of the whole transaction says more.
      await this.#ask("db.transaction.begun", this.#number).catch(() => whole);
      // If the transaction ends first, work that still waits for something else goes on unobserved; its next query
      // finds the transaction over.
      return await Promise.race([this.#work(work, whole), whole.then(() => new Promise<never>(() => {}))]);
    } finally {
      this.#isOver = true;
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async query(
    text: string,
    values: readonly DatabaseValue[] = [],
    options: Pick<QueryOptions, "maxRows"> = {},
  ): Promise<QueryResult> {
    if (this.#isOver) throw new DatabaseError("refused", "the transaction is over");
    const { value } = await this.#ask("db.transaction.query", this.#number, text, values.map(plain), options);
    return value as QueryResult;
  }

  async #work<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    whole: Promise<unknown>,
  ): Promise<Result> {
    let result: Result;
    try {
      result = await work(this);
    } catch (error) {
      this.#end("rollback");
      await whole;
      throw error;
    }
    this.#end("commit");
    await whole;
    return result;
  }

  #end(how: "commit" | "rollback" | "abort"): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // The result of ending is reported by the answer to `db.transaction`.
    this.#ask("db.transaction.end", this.#number, how).catch(() => {});
  }
}

type Failed = readonly [
  reason: DatabaseErrorReason,
  message: string,
  code: string | null,
  constraint: string | null,
];

function errorOf([reason, message, code, constraint]: Failed): DatabaseError {
  const why = message.replace(/^database: /, "");
  return new DatabaseError(reason, why, code ?? undefined, constraint ?? undefined);
}

/** Converts a value to JSON that PostgreSQL reads as that value. */
function plain(value: DatabaseValue): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
  return Array.isArray(value) ? value.map((each) => plain(each as DatabaseValue)) : value;
}

// The database of a plugin in a process of its own: the sidecar makes its queries and its transactions, and ends these.
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
    // Answered when it is over, however it ends: the sidecar's time counts.
    const whole = this.#ask("db.transaction", this.#number, options);
    const onAbort = (): void => this.#end("abort");
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      // The whole's error says more.
      await this.#ask("db.transaction.begun", this.#number).catch(() => whole);
      // Work that waits for something else goes on unseen, and finds its transaction over.
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
    // What comes of it is said of the whole.
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

/** As JSON has it, and PostgreSQL reads it. */
function plain(value: DatabaseValue): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
  return Array.isArray(value) ? value.map((each) => plain(each as DatabaseValue)) : value;
}

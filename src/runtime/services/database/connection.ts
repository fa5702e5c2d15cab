// Wraps one connection to a database, taken from the pool for one query or transaction.
import type pg from "pg";
import { DatabaseError, type DatabaseValue, type QueryResult } from "../../../plugin-api/database.ts";
import { BoundedQuery } from "./bounded-query.ts";
import { failureOf } from "./failure.ts";

const maxBytes = 8_388_608;

/** The statement timeout that each connection has now, so that it is set only when it changes. */
const statementTimeouts = new WeakMap<pg.PoolClient, number>();

export class Connection {
  readonly #client: pg.PoolClient;
  #over = false;
  readonly #onError = (): void => {};

  constructor(client: pg.PoolClient) {
    this.#client = client;
    // The caller of a query gets the error anyway. Without a listener the event would end the process.
    client.on("error", this.#onError);
  }

  /**
   * Makes the server end queries a little before the caller stops waiting: after the server's answer the connection
   * stays usable.
   */
  async limit(timeoutMs: number): Promise<void> {
    const limitMs = Math.max(1, Math.floor(timeoutMs * 0.9));
    if (statementTimeouts.get(this.#client) === limitMs) return;
    await this.command(`SET statement_timeout = ${limitMs}`);
    statementTimeouts.set(this.#client, limitMs);
  }

  /** Runs a statement of the sidecar's own. @returns its command tag, such as COMMIT */
  async command(text: string): Promise<string> {
    this.#checkOpen();
    try {
      return (await this.#client.query(text)).command;
    } catch (error) {
      throw failureOf(error);
    }
  }

  async query(text: string, values: readonly DatabaseValue[], maxRows: number): Promise<QueryResult> {
    this.#checkOpen();
    const { promise, resolve, reject } = Promise.withResolvers<pg.QueryResult>();
    const config = { text, values: values.map(checkedValue), maxRows };
    const stream = this.#stream;
    let bytes = 0;
    let isTooLarge = false;
    const count = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes <= maxBytes) return;
      isTooLarge = true;
      stream.destroy();
    };
    stream.on("data", count);
    try {
      this.#client.query(
        new BoundedQuery(config, (error, result) => (error === undefined ? resolve(result) : reject(error))),
      );
      const { rows, rowCount } = (await promise) as { rows: QueryResult["rows"]; rowCount: number | null };
      if (rows.length > maxRows)
        throw new DatabaseError("too_large", `the query has more than ${maxRows} rows`);
      return { rows, rowCount: rowCount ?? rows.length };
    } catch (error) {
      if (isTooLarge) throw new DatabaseError("too_large", `the query has more than ${maxBytes} bytes`);
      throw failureOf(error);
    } finally {
      stream.off("data", count);
    }
  }

  /** Whether the connection is in a transaction, whoever began it. */
  get isInTransaction(): boolean {
    return !this.#over && this.#client.getTransactionStatus() !== "I";
  }

  /** Returns the connection to the pool; a broken one is dropped. */
  giveBack(): void {
    if (this.#over) return;
    const isUsable = !this.#stream.destroyed && !this.isInTransaction;
    this.#over = true;
    this.#client.release(!isUsable);
    this.#client.off("error", this.#onError);
  }

  /** Breaks the connection: a running query fails. */
  break(): void {
    if (!this.#over) this.#stream.destroy();
  }

  /** After `giveBack` another caller may already use the connection. */
  #checkOpen(): void {
    if (this.#over) throw new DatabaseError("aborted", "the call is over");
  }

  get #stream(): pg.Connection["stream"] {
    // Missing in pg's types, and the only way to end a query that the server does not answer.
    return (this.#client as unknown as { connection: pg.Connection }).connection.stream;
  }
}

function checkedValue(value: DatabaseValue, place: number): DatabaseValue {
  if (!isValue(value)) throw new TypeError(`$${place + 1} of the query is no value that a database has`);
  return value;
}

function isValue(value: unknown): boolean {
  if (value === null || ["string", "number", "bigint", "boolean"].includes(typeof value)) return true;
  return (
    value instanceof Date || value instanceof Uint8Array || (Array.isArray(value) && value.every(isValue))
  );
}

// Implements the database behind `services.db`: PostgreSQL, with a time limit per call and a bounded number of
// connections. While the server does not answer, a breaker refuses calls.
import {
  type Database,
  DatabaseError,
  type DatabaseErrorReason,
  type DatabaseValue,
  type QueryOptions,
  type QueryResult,
  type Transaction,
} from "../../../plugin-api/database.ts";
import { QuotaExceeded } from "../../../plugin-api/quota.ts";
import type { Clock } from "../../../plugin-api/services.ts";
import type { Metrics } from "../../../plugin-api/telemetry.ts";
import { Breaker } from "../../breaker.ts";
import { callingTrace } from "../../call-trace.ts";
import { Deadline } from "../deadline.ts";
import { NotDeclared } from "../not-declared.ts";
import { refuse } from "../quota-use.ts";
import { type DatabaseAddress, parseDatabaseUrl } from "./address.ts";
import type { Connection } from "./connection.ts";
import { DatabaseMeasures } from "./measures.ts";
import type { Pool } from "./pool.ts";

export interface DatabaseOptions {
  readonly plugin: string;
  /** Secret that holds the URL; undefined = the plugin declares none. */
  readonly secret: string | undefined;
  /** Returns the current URL. If it changes, new connections replace the present ones. */
  readonly url: (secret: string) => string | undefined;
  readonly maxConnections: number;
  readonly maxWaiting: number;
  /** Whether this is a test of a policy, in which no database is asked. */
  readonly isTest?: boolean;
  readonly metrics: Metrics;
  readonly clock: Pick<Clock, "mono">;
}

const defaultTimeoutMs = 5_000;
const defaultMaxRows = 1_000;

type Limits = Pick<QueryOptions, "timeoutMs" | "signal">;

export class PostgresDatabase implements Database {
  readonly #options: DatabaseOptions;
  readonly #measures: DatabaseMeasures;
  #breaker = new Breaker();
  #known: { readonly url: string; readonly address: DatabaseAddress } | undefined;
  #pool: Pool | undefined;
  #poolUrl: string | undefined;
  #closed = false;
  readonly #underWay = new Set<Deadline>();

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#measures = new DatabaseMeasures(options.plugin, options.metrics);
  }

  /** @throws Error when the plugin declares a database and its URL is not set or not valid */
  check(): void {
    const { secret, isTest = false } = this.#options;
    if (secret !== undefined && !isTest) this.#address();
  }

  async query(
    text: string,
    values: readonly DatabaseValue[] = [],
    { readOnly = false, maxRows = defaultMaxRows, ...limits }: QueryOptions = {},
  ): Promise<QueryResult> {
    if (readOnly)
      return await this.transaction((transaction) => transaction.query(text, values, { maxRows }), {
        ...limits,
        readOnly,
      });
    return await this.#within(limits, async (connection) => {
      const result = await connection.query(text, values, maxRows);
      if (connection.isInTransaction)
        throw new DatabaseError("refused", "a transaction is begun by transaction(), and was rolled back");
      return result;
    });
  }

  async transaction<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    { readOnly = false, ...limits }: Pick<QueryOptions, "timeoutMs" | "readOnly" | "signal"> = {},
  ): Promise<Result> {
    return await this.#within(limits, async (connection) => {
      await connection.command(readOnly ? "BEGIN READ ONLY" : "BEGIN");
      const open = new OpenTransaction(connection);
      try {
        const result = await work(open);
        await open.end();
        // The server answers ROLLBACK for a transaction in which a query failed, even if the work ignored that failure.
        if ((await connection.command("COMMIT")) !== "COMMIT")
          throw new DatabaseError("refused", "the transaction was rolled back: a query in it failed");
        return result;
      } catch (error) {
        await open.end();
        if (connection.isInTransaction) await connection.command("ROLLBACK").catch(() => connection.break());
        throw error;
      }
    });
  }

  open(): void {
    this.#closed = false;
  }

  /** Ends all running calls and all connections. */
  close(): void {
    this.#closed = true;
    for (const deadline of this.#underWay) deadline.end();
    this.#pool?.close(false);
    this.#pool = undefined;
    this.#poolUrl = undefined;
    this.#breaker = new Breaker();
  }

  async #within<Result>(
    { timeoutMs = defaultTimeoutMs, signal }: Limits,
    work: (connection: Connection) => Promise<Result>,
  ): Promise<Result> {
    const deadline = new Deadline(timeoutMs, signal);
    const from = performance.now();
    this.#underWay.add(deadline);
    try {
      const pool = await this.#opened();
      const result = await this.#use(pool, deadline, timeoutMs, work);
      this.#ended("ok", from);
      return result;
    } catch (error) {
      const result = error instanceof DatabaseError ? error.reason : "refused";
      this.#ended(result, from);
      throw error;
    } finally {
      deadline.clear();
      this.#underWay.delete(deadline);
      this.#measures.connections(this.#pool?.connections ?? 0);
    }
  }

  #ended(result: "ok" | DatabaseErrorReason, fromMono: number): void {
    const toMono = performance.now();
    this.#measures.ended(result, (toMono - fromMono) / 1_000);
    const { host = "", port = 0, database = "" } = this.#known?.address ?? {};
    const error = result === "ok" ? undefined : result;
    callingTrace()?.called({
      name: database,
      attributes: () => [
        "db.system.name",
        "postgresql",
        "db.namespace",
        database,
        "server.address",
        host,
        "server.port",
        port,
        ...(error === undefined ? [] : ["error.type", error]),
      ],
      fromMono,
      toMono,
      error,
    });
  }

  async #use<Result>(
    pool: Pool,
    deadline: Deadline,
    timeoutMs: number,
    work: (connection: Connection) => Promise<Result>,
  ): Promise<Result> {
    const { clock } = this.#options;
    this.#checkWaiting(pool);
    const breaker = this.#breaker;
    if (!breaker.allows(clock.mono()))
      throw new DatabaseError("breaker_open", "not asked: the last calls failed one after the other");
    let connection: Connection | undefined;
    let isItsTurn = false;
    const over = Promise.withResolvers<never>();
    over.promise.catch(() => {});
    const onAbort = (): void => {
      connection?.break();
      over.reject(ended(deadline, timeoutMs));
    };
    deadline.signal.addEventListener("abort", onAbort, { once: true });
    try {
      isItsTurn = await pool.enter(deadline);
      if (!isItsTurn) throw ended(deadline, timeoutMs);
      connection = await pool.connect(deadline);
      await connection.limit(timeoutMs);
      const working = work(connection);
      // If the deadline ends first, work that still waits for something else goes on unobserved; its next query finds
      // the connection closed.
      const result = await Promise.race([working, over.promise]);
      breaker.succeeded();
      return result;
    } catch (error) {
      const failure = deadline.signal.aborted ? ended(deadline, timeoutMs) : error;
      judge(breaker, failure, isItsTurn, clock.mono());
      throw failure;
    } finally {
      deadline.signal.removeEventListener("abort", onAbort);
      if (connection !== undefined) pool.giveBack(connection);
    }
  }

  #checkWaiting(pool: Pool): void {
    const { plugin, metrics, maxWaiting: max } = this.#options;
    if (pool.waiting < max) return;
    throw refuse({
      plugin,
      quota: "database_waiting",
      max,
      unit: "callers that wait for a connection to its database",
      metrics,
    });
  }

  #address(): { readonly url: string; readonly address: DatabaseAddress } {
    const { plugin, secret, url, isTest = false } = this.#options;
    if (secret === undefined) throw new NotDeclared(plugin, "a database", "database");
    if (isTest) throw new DatabaseError("not_usable", "tests of a policy ask nobody");
    const text = url(secret);
    if (text === undefined)
      throw new DatabaseError("not_usable", `OUTRIGGER_${secret}, which is to hold its URL, is not set`);
    if (this.#known?.url !== text) this.#known = { url: text, address: parseDatabaseUrl(text) };
    return this.#known;
  }

  async #opened(): Promise<Pool> {
    const { plugin, maxConnections } = this.#options;
    this.#checkOpen();
    if (this.#pool !== undefined && this.#options.url(this.#options.secret ?? "") === this.#poolUrl)
      return this.#pool;
    const { url, address } = this.#address();
    const { Pool } = await import("./pool.ts");
    this.#checkOpen();
    if (this.#pool !== undefined && this.#poolUrl === url) return this.#pool;
    this.#pool?.close(true);
    this.#poolUrl = url;
    this.#breaker = new Breaker();
    this.#pool = new Pool({ address, maxConnections, applicationName: `outrigger-${plugin}` });
    return this.#pool;
  }

  #checkOpen(): void {
    if (this.#closed)
      throw new Error(`plugin "${this.#options.plugin}" is closed: it has no database any more`);
  }
}

class OpenTransaction implements Transaction {
  readonly #connection: Connection;
  #last: Promise<unknown> = Promise.resolve();
  #over = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  query(
    text: string,
    values: readonly DatabaseValue[] = [],
    { maxRows = defaultMaxRows }: Pick<QueryOptions, "maxRows"> = {},
  ): Promise<QueryResult> {
    if (this.#over) return Promise.reject(new DatabaseError("refused", "the transaction is over"));
    const result = this.#last.then(() => this.#connection.query(text, values, maxRows));
    this.#last = result.catch(() => {});
    return result;
  }

  /** Waits for the last query; further queries are refused. */
  async end(): Promise<void> {
    this.#over = true;
    await this.#last;
  }
}

function ended(deadline: Deadline, timeoutMs: number): DatabaseError {
  return deadline.expired
    ? new DatabaseError("timeout", `no result within ${timeoutMs} ms`)
    : new DatabaseError("aborted", "the call was ended by its caller, or with its plugin");
}

/** @param says whether the failure says anything about the server; false while the caller still waited for its turn */
function judge(breaker: Breaker, failure: unknown, says: boolean, nowMono: number): void {
  const { reason, code } =
    failure instanceof DatabaseError ? failure : { reason: undefined, code: undefined };
  if (failure instanceof QuotaExceeded || reason === "aborted" || !says) breaker.withdrawn();
  // A query that the server itself ended has a code and does not count: the server answers.
  else if (reason === "connection" || (reason === "timeout" && code === undefined)) breaker.failed(nowMono);
  else breaker.succeeded();
}

// Defines a plugin's access to PostgreSQL, at the URL in the secret that `needs.database` names.

/** Types of values for $1, $2 … in a query. Pass JSON as its text. */
export type DatabaseValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Uint8Array
  | readonly DatabaseValue[];

export interface QueryOptions {
  /**
   * Time limit in milliseconds for everything: the wait for a connection, the query, its rows. The server ends the
   * query a little earlier. Default: 5,000.
   */
  readonly timeoutMs?: number;
  /** A result with more rows is an error (default: 1,000), and so is one over 8 MiB. */
  readonly maxRows?: number;
  /** Whether the server refuses a query that would change something. */
  readonly readOnly?: boolean;
  /** Ends the wait and cancels the query. */
  readonly signal?: AbortSignal;
}

export interface QueryResult {
  /**
   * Each row as an object by column name. Types are those of `pg`: int8 and numeric as text, json parsed, timestamps as
   * Date.
   */
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** Number of rows returned or changed. */
  readonly rowCount: number;
}

export interface Transaction {
  /** Works like `Database.query`, within the time limit of the transaction. Run one query at a time. */
  query(
    text: string,
    values?: readonly DatabaseValue[],
    options?: Pick<QueryOptions, "maxRows">,
  ): Promise<QueryResult>;
}

/**
 * A plugin's database. Every call may reject with a `DatabaseError`, with a `NotDeclared` without `needs.database`, or
 * with a `QuotaExceeded` when too many calls wait for a connection.
 */
export interface Database {
  /** Runs one statement, with `values` for $1, $2 …: never put a value into the text. */
  query(text: string, values?: readonly DatabaseValue[], options?: QueryOptions): Promise<QueryResult>;
  /**
   * Runs the queries of `work` in one transaction. It commits when `work` resolves. It rolls back when `work` rejects,
   * takes longer than `timeoutMs` (default: 5,000), or a query in it failed.
   */
  transaction<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    options?: Pick<QueryOptions, "timeoutMs" | "readOnly" | "signal">,
  ): Promise<Result>;
}

/**
 * `refused` = the server answered with an error, whose SQLSTATE is in `code`; `breaker_open` = the database was not
 * asked, because the last calls all failed; `too_large` = more rows or bytes than allowed; `not_usable` = the secret
 * holds no URL that can be used.
 */
export type DatabaseErrorReason =
  | "timeout"
  | "aborted"
  | "connection"
  | "breaker_open"
  | "refused"
  | "too_large"
  | "not_usable";

/** A query that failed. Its message holds no address, no credentials, no values. */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  readonly reason: DatabaseErrorReason;
  /** SQLSTATE, such as `23505` for a violated unique constraint. */
  readonly code: string | undefined;
  /** Name of the violated constraint. */
  readonly constraint: string | undefined;

  constructor(reason: DatabaseErrorReason, why: string, code?: string, constraint?: string) {
    super(`database: ${why}`);
    this.reason = reason;
    this.code = code;
    this.constraint = constraint;
  }
}

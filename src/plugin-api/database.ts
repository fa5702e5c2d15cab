// A plugin's database: PostgreSQL, at the URL in the secret that `needs.database` names.

/** What may stand for $1, $2 … in a query; JSON goes as its text. */
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
  /** Over all: the wait for a connection, the query, its rows. The server ends it a little earlier. Default: 5,000. */
  readonly timeoutMs?: number;
  /** More rows are an error (default: 1,000), and so are more than 8 MiB. */
  readonly maxRows?: number;
  /** Whether the server refuses it when it would change something. */
  readonly readOnly?: boolean;
  /** Ends the wait, and the query with it. */
  readonly signal?: AbortSignal;
}

export interface QueryResult {
  /** A row by the names of its columns. As `pg` gives types: int8 and numeric as text, json parsed, timestamps as Date. */
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** Rows that were given or changed. */
  readonly rowCount: number;
}

export interface Transaction {
  /** As `Database.query`, within the time of the transaction. One at a time. */
  query(
    text: string,
    values?: readonly DatabaseValue[],
    options?: Pick<QueryOptions, "maxRows">,
  ): Promise<QueryResult>;
}

/**
 * Rejects with a `DatabaseError`, with a `NotDeclared` without `needs.database`, with a `QuotaExceeded` where too many
 * wait for a connection.
 */
export interface Database {
  /** One statement, with `values` for $1, $2 …: never put a value into the text. */
  query(text: string, values?: readonly DatabaseValue[], options?: QueryOptions): Promise<QueryResult>;
  /**
   * What `work` does by `transaction` is done whole when it resolves, and not at all when it rejects, takes longer
   * than `timeoutMs` (default: 5,000), or a query in it failed.
   */
  transaction<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    options?: Pick<QueryOptions, "timeoutMs" | "readOnly" | "signal">,
  ): Promise<Result>;
}

/**
 * `refused` = the server answered an error, whose SQLSTATE is `code`; `breaker_open` = not asked, because the last calls
 * all failed; `too_large` = more rows or bytes than asked for; `not_usable` = the secret holds no URL that can be used.
 */
export type DatabaseErrorReason =
  | "timeout"
  | "aborted"
  | "connection"
  | "breaker_open"
  | "refused"
  | "too_large"
  | "not_usable";

/** A query that has no result. Its message holds no address, no credentials, no values. */
export class DatabaseError extends Error {
  override readonly name = "DatabaseError";
  readonly reason: DatabaseErrorReason;
  /** SQLSTATE: `23505` = a unique constraint is violated. */
  readonly code: string | undefined;
  /** The constraint that is violated. */
  readonly constraint: string | undefined;

  constructor(reason: DatabaseErrorReason, why: string, code?: string, constraint?: string) {
    super(`database: ${why}`);
    this.reason = reason;
    this.code = code;
    this.constraint = constraint;
  }
}

// A query of pg that ends where it has more rows than asked for, and takes one statement only: by the extended protocol
// (PostgreSQL's manual, section 55.2.3), whatever values it has.
import pg from "pg";

interface Wire {
  sync(): void;
}

interface Internals {
  readonly handleError: (this: BoundedQuery, error: Error, wire: Wire) => void;
}

interface Config {
  readonly text: string;
  readonly values: unknown[];
  readonly maxRows: number;
}

export class BoundedQuery extends pg.Query {
  /** @param done called once */
  constructor(
    { text, values, maxRows }: Config,
    done: (error: Error | undefined, result: pg.QueryResult) => void,
  ) {
    // Not typed: most rows of one Execute. pg speaks the extended protocol then.
    const config = { text, values, rows: maxRows + 1 };
    super(config, undefined, (error, result) => done(error ?? undefined, result));
  }

  /** There would be more: pg would go on asking for them. */
  handlePortalSuspended(wire: Wire): void {
    wire.sync();
  }
  /** The server skips what comes until the next Sync, and pg sends none where rows are bounded. */
  handleError(error: Error, wire: Wire): void {
    if (error instanceof pg.DatabaseError) wire.sync();
    // Not typed.
    const { handleError } = pg.Query.prototype as unknown as Internals;
    handleError.call(this, error, wire);
  }
}

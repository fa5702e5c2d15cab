// Makes a query of pg that stops once it has more rows than asked for, and accepts only one statement. For this it
// always uses the extended protocol (PostgreSQL's manual, section 55.2.3), with or without values.
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
    // `rows` is missing in pg's types: the most rows of one Execute. With it, pg uses the extended protocol.
    const config = { text, values, rows: maxRows + 1 };
    super(config, undefined, (error, result) => done(error ?? undefined, result));
  }

  /** There are more rows than asked for. Without this override pg would go on to fetch them. */
  handlePortalSuspended(wire: Wire): void {
    wire.sync();
  }
  /** After an error the server skips messages until the next Sync, and pg sends none where rows are bounded. */
  handleError(error: Error, wire: Wire): void {
    if (error instanceof pg.DatabaseError) wire.sync();
    // `handleError` is missing in pg's types.
    const { handleError } = pg.Query.prototype as unknown as Internals;
    handleError.call(this, error, wire);
  }
}

// Answers the database requests of a plugin's process from the plugin's own database, outside and inside transactions.
import { DatabaseError, type QueryOptions, type Transaction } from "../../plugin-api/database.ts";
import type { Database, DatabaseValue } from "../../plugin-api/services.ts";
import { count, list, optionalCount, text } from "./received.ts";
import type { Service } from "./service.ts";
import { Transactions } from "./transactions.ts";

const maxQueryCharacters = 100_000;
const maxValues = 1_000;
const maxRows = 10_000;
const maxTimeoutMs = 30_000;

type Asked = Readonly<Record<string, unknown>>;

export interface DatabaseServices {
  readonly services: readonly [string, Service][];
  /**
   * Requests that begin and end transactions: at most three per transaction. They are not counted, so that no other
   * request can delay the end of a transaction.
   */
  readonly steps: readonly [string, Service][];
  /** The process has ended: its transactions are rolled back. */
  close(): void;
}

export function databaseServices(db: Database): DatabaseServices {
  const transactions = new Transactions(db);
  return {
    services: [
      ["db.query", withReason(queryOf(db))],
      ["db.transaction.query", withReason(queryIn(transactions))],
    ],
    steps: [
      ["db.transaction", withReason(wholeOf(transactions))],
      [
        "db.transaction.begun",
        withReason(async ([id]) => {
          await transactions.begun(number(id));
          return { value: null };
        }),
      ],
      [
        "db.transaction.end",
        withReason(async ([id, how]) => {
          transactions.end(number(id), how);
          return { value: null };
        }),
      ],
    ],
    close: () => transactions.close(),
  };
}

function queryOf(db: Database): Service {
  return ([statement, values, options]) => {
    const asked = Object(options) as Asked;
    const limits = limitsOf(asked);
    return reply(
      (sql, given, most) => db.query(sql, given, { ...limits, ...most }),
      statement,
      values,
      asked,
    );
  };
}

function queryIn(transactions: Transactions): Service {
  return ([id, statement, values, options]) =>
    reply(
      (...query) => transactions.query(number(id), ...query),
      statement,
      values,
      Object(options) as Asked,
    );
}

function wholeOf(transactions: Transactions): Service {
  return async ([id, options]) => {
    await transactions.run(number(id), limitsOf(Object(options) as Asked));
    return { value: null };
  };
}

function number(value: unknown): number {
  return count(value, "the number of a transaction");
}

async function reply(
  query: Transaction["query"],
  statement: unknown,
  values: unknown,
  asked: Asked,
): Promise<{ value: unknown }> {
  const given = list(values, "the values of a query");
  if (given.length > maxValues) throw new Error(`a query has ${maxValues} values at most`);
  const most = optionalCount(asked["maxRows"]);
  // The values are not checked here: the database checks each of them.
  const { rows, rowCount } = await query(
    text(statement, "a query", maxQueryCharacters),
    given as DatabaseValue[],
    most === undefined ? {} : { maxRows: Math.min(most, maxRows) },
  );
  return { value: { rows: rows.map(asText), rowCount } };
}

function limitsOf(asked: Asked): Pick<QueryOptions, "readOnly" | "timeoutMs"> {
  const timeoutMs = optionalCount(asked["timeoutMs"]);
  return {
    readOnly: asked["readOnly"] === true,
    ...(timeoutMs === undefined ? {} : { timeoutMs: Math.max(1, Math.min(timeoutMs, maxTimeoutMs)) }),
  };
}

/**
 * Sends a database error with its reason, because plugins act on the reason: they try again after a conflict of two
 * transactions.
 */
function withReason(service: Service): Service {
  return async (args, blobs) => {
    try {
      return await service(args, blobs);
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      const { reason, message, code = null, constraint = null } = error;
      return { value: { failed: [reason, message, code, constraint] } };
    }
  };
}

/** Writes bytes in PostgreSQL's hex format. */
function asText(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const pairs = Object.entries(row).map(([name, value]) => [
    name,
    Buffer.isBuffer(value) ? `\\x${value.toString("hex")}` : value,
  ]);
  return Object.fromEntries(pairs) as Record<string, unknown>;
}

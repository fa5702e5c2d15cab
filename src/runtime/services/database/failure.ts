// Converts errors of a database to texts that may be logged: without values, addresses or credentials. The server's own
// messages may quote any of them, so they are dropped.
import { DatabaseError } from "../../../plugin-api/database.ts";

/** Names for SQLSTATEs (PostgreSQL's manual, appendix A) that people look for in a log. */
const names: Readonly<Record<string, string>> = {
  "22P02": "invalid text representation",
  "23502": "not-null violation",
  "23503": "foreign key violation",
  "23505": "unique violation",
  "23514": "check violation",
  "25006": "a read-only transaction cannot do that",
  "28000": "invalid authorization",
  "28P01": "invalid password",
  "3D000": "there is no such database",
  "40001": "serialization failure",
  "40P01": "deadlock",
  "42501": "insufficient privilege",
  "42601": "syntax error",
  "42703": "undefined column",
  "42P01": "undefined table",
  "53300": "too many connections",
  "57014": "the query took too long",
  "57P01": "the server is shutting down",
  "57P03": "the server is starting up",
};

/** SQLSTATEs of a server that can serve no client, or not this one. */
const unusable = /^(?:08|28|53|57P|3D)/;

/** @param error of pg or of the system; only its code and constraint are used */
export function failureOf(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const { code, constraint } = Object(error) as { code?: unknown; constraint?: unknown };
  if (typeof code !== "string") return new DatabaseError("connection", "the connection was lost");
  // A SQLSTATE has five characters. System codes are longer (except EPIPE), those of TLS begin with ERR_.
  if (!/^[0-9A-Z]{5}$/.test(code) || code === "EPIPE")
    return new DatabaseError("connection", `no connection (${code.slice(0, 60)})`);
  const name = names[code];
  const why = name === undefined ? `SQLSTATE ${code}` : `${name} (SQLSTATE ${code})`;
  if (code === "57014") return new DatabaseError("timeout", why, code);
  if (unusable.test(code)) return new DatabaseError("connection", why, code);
  return typeof constraint === "string"
    ? new DatabaseError("refused", `${why}, constraint ${constraint.slice(0, 63)}`, code, constraint)
    : new DatabaseError("refused", why, code);
}

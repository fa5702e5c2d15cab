// Parses the URL of a database strictly: an unknown parameter is refused, not ignored.
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { DatabaseError } from "../../../plugin-api/database.ts";

export interface DatabaseAddress {
  /** A name, an IP address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** undefined = without TLS. */
  readonly tls: { readonly ca: string | undefined; readonly servername: string | undefined } | undefined;
}

const parameters = new Set(["host", "sslmode", "sslrootcert"]);

/**
 * `postgres://user:password@host:port/database?sslmode=verify-full|disable&sslrootcert=/ca.pem`; a socket's folder is
 * `?host=/run/postgresql`.
 * @throws DatabaseError that shows no part of the URL
 */
export function parseDatabaseUrl(text: string): DatabaseAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol))
    throw unusable("it must be postgres://user:password@host:port/database");
  const query = url.searchParams;
  const unknown = [...query.keys()].find((name) => !parameters.has(name) || query.getAll(name).length > 1);
  if (unknown !== undefined) throw unusable("its query may hold host, sslmode and sslrootcert, each once");
  const host = query.get("host") ?? decoded(url.hostname).replace(/^\[|\]$/g, "");
  const user = decoded(url.username);
  const database = decoded(url.pathname.slice(1));
  if (host === "" || user === "" || database === "" || /[/\0]/.test(database))
    throw unusable("it must name a user, a host and a database");
  const port = url.port === "" ? 5_432 : Number(url.port);
  return { host, port, user, database, password: decoded(url.password), tls: tlsOf(query, host) };
}

function tlsOf(query: URLSearchParams, host: string): DatabaseAddress["tls"] {
  const isNear = host.startsWith("/") || host === "localhost" || /^127\.|^::1$/.test(host);
  const mode = query.get("sslmode") ?? (isNear ? "disable" : "verify-full");
  const file = query.get("sslrootcert");
  if (mode === "disable") {
    if (file !== null) throw unusable("sslrootcert is for sslmode=verify-full");
    return undefined;
  }
  // libpq's other modes accept any certificate, or none.
  if (mode !== "verify-full") throw unusable("sslmode must be verify-full or disable");
  return {
    ca: file === null ? undefined : certificatesIn(file),
    servername: isIP(host) === 0 ? host : undefined,
  };
}

function certificatesIn(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    throw unusable("the file that sslrootcert names cannot be read");
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw unusable("a % in it is not followed by two hex digits");
  }
}

function unusable(why: string): DatabaseError {
  return new DatabaseError("not_usable", `the secret with its URL cannot be used: ${why}`);
}

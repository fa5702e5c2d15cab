// Adds a Redis command to the trace of the request whose hook waited for it, by the conventions for databases. Keys and
// values are left out, because digests of credentials are among them.
import type { RedisAddress } from "../redis/address.ts";
import { callingTrace } from "../runtime/call-trace.ts";

interface EndedCommand {
  /** Name of the command in lower case. */
  readonly name: string;
  /** Duration in seconds. */
  readonly elapsed: number;
  readonly ok: boolean;
  /** Code word of an error reply. */
  readonly code: string | undefined;
}

/** @param address address of Redis; with several nodes the trace does not name one */
export function traceCommand({ kind, nodes, db }: RedisAddress, command: EndedCommand): void {
  const trace = callingTrace();
  if (trace === undefined) return;
  const { ok, code } = command;
  const operation = command.name.toUpperCase();
  const toMono = performance.now();
  const error = ok ? undefined : (code ?? "unanswered");
  trace.called({
    name: operation,
    attributes: () => [
      "db.system.name",
      "redis",
      "db.operation.name",
      operation,
      "db.namespace",
      String(db),
      ...(kind === "standalone" ? ["server.address", nodes[0].host, "server.port", nodes[0].port] : []),
      ...(code === undefined ? [] : ["db.response.status_code", code]),
      ...(error === undefined ? [] : ["error.type", error]),
    ],
    fromMono: toMono - command.elapsed * 1_000,
    toMono,
    error,
  });
}

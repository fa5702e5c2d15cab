// What a trace is told of a command of Redis that one of its hooks waited for, by the conventions for databases. No keys
// and no values: the digests of credentials are among them.
import type { RedisAddress } from "../redis/address.ts";
import { callingTrace } from "../runtime/call-trace.ts";

interface EndedCommand {
  /** In lower case. */
  readonly name: string;
  /** Seconds. */
  readonly elapsed: number;
  readonly ok: boolean;
  /** Of an error reply. */
  readonly code: string | undefined;
}

/** @param address where Redis is; of several nodes the trace does not say which */
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

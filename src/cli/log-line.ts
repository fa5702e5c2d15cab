// Formats lines of a log stream for people. The lines are untrusted: anyone with a sidecar's rights can write to its
// stream.
import type { LogEntry } from "../plane/log-streams.ts";
import { parseJson } from "../language/json.ts";
import { printable } from "./table.ts";

export type LogRecord = Readonly<Record<string, unknown>>;

/** @returns undefined when the entry is no access log line */
export function recordOf({ line }: LogEntry): LogRecord | undefined {
  try {
    const value = parseJson(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as LogRecord)
      : undefined;
  } catch {
    return undefined;
  }
}

const text = (value: unknown): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : "-";

/**
 * Formats `2026-11-28T20:15:01.123Z orders 200 GET /path 1.2 ms alice 10.0.0.7 <request id>`, and then what went wrong.
 */
export function lineText({ service, line }: LogEntry, record: LogRecord | undefined): string {
  if (record === undefined) return printable(`- ${service} ${line}`);
  const { timestamp, status, method, path, durationMs, userId, clientIp, requestId } = record;
  const notes = ["end", "error", "refusedBecause", "cacheStatus"].flatMap((name) => {
    const value = record[name];
    return typeof value === "string" && value !== "complete" ? [value] : [];
  });
  const parts = [
    timestamp,
    service,
    status,
    method,
    path,
    `${text(durationMs)} ms`,
    userId,
    clientIp,
    requestId,
  ];
  return printable([...parts.map(text), ...notes].join(" "));
}

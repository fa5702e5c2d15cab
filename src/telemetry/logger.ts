// Creates the sidecar's own log (pino) and the sink of access lines, both on one bounded output. Fields are cleaned
// before they are written: errors by an allow-list, user info in URLs masked.
import { pino } from "pino";
import type { LineSink, LogFormat, Logger } from "../plugin-api/telemetry.ts";
import type { Output } from "./output.ts";
import { type OwnLevel, ownLineOf } from "./own-lines.ts";

export interface LoggingOptions {
  readonly level: string;
  /** Default: `json`. */
  readonly format?: LogFormat | undefined;
  readonly service: string;
  readonly instance: string;
  /** Set when the sidecar has several processes: shown on every line of this one. */
  readonly worker?: string | undefined;
  readonly output: Output;
}

export interface Logging {
  readonly logger: Logger;
  readonly accessLog: LineSink;
  /** The current level. `set` returns false and changes nothing for an unknown name. */
  readonly level: { get(): string; set(level: string): boolean };
}

/** Masks `user:password@` in every URL of a text. */
export function maskUrls(text: string): string {
  // A password may itself hold "@" unescaped, so the last one before the path counts.
  return text.includes("://") ? text.replace(/([a-z0-9+.-]:\/\/)[^\s/?#"'<>]*@/gi, "$1***@") : text;
}

/** An error as the log may show it: without the commands, requests and options that libraries attach to theirs. */
function cleanError(error: Error, depth: number): Record<string, unknown> {
  const { code } = error as NodeJS.ErrnoException;
  const cause = depth > 0 && error.cause instanceof Error ? cleanError(error.cause, depth - 1) : undefined;
  return {
    name: error.name,
    message: maskUrls(error.message),
    ...(typeof code === "string" ? { code } : {}),
    ...(error.stack === undefined ? {} : { stack: maskUrls(error.stack) }),
    ...(cause === undefined ? {} : { cause }),
  };
}

function clean(value: unknown, depth: number): unknown {
  if (typeof value === "string") return maskUrls(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Error) return cleanError(value, 3);
  if (depth === 0) return "…";
  if (Array.isArray(value)) return value.map((member) => clean(member, depth - 1));
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, clean(member, depth - 1)]));
}

/** Cleans a line's fields. A field named like a member of every line is renamed, or the name would occur twice. */
function cleanFields(fields: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(fields).map(([name, value]) => [
    /^(level|time|service|instance|msg)$/.test(name) ? `${name}_` : name,
    clean(value, 5),
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

/**
 * Lines are pino's JSON objects: `level` (30 = info), `time` (epoch milliseconds), `service`, `instance`, the fields
 * and `msg`; or the same in another format. Access lines are written unchanged, whatever the level.
 */
export function createLogging(options: LoggingOptions): Logging {
  const { level, format = "json", service, instance, worker, output } = options;
  const ownLine = ownLineOf(format, options);
  const root = pino(
    {
      level,
      base: { service, instance, ...(worker === undefined ? {} : { worker }) },
      // pino 10 would serialize `err` by default; cleanError has done so already.
      serializers: { err: (error: unknown) => error },
    },
    output,
  );
  const logAt = (name: OwnLevel) =>
    function log(fields: Record<string, unknown>, message: string): void {
      if (!root.isLevelEnabled(name)) return;
      if (ownLine === undefined) root[name](cleanFields(fields), maskUrls(message));
      else output.write(`${ownLine(name, Date.now(), cleanFields(fields), maskUrls(message))}\n`);
    };
  return {
    logger: { debug: logAt("debug"), info: logAt("info"), warn: logAt("warn"), error: logAt("error") },
    accessLog: { format, write: (line) => output.write(`${line}\n`) },
    level: {
      get: () => root.level,
      set(name) {
        if (name !== "silent" && !Object.hasOwn(root.levels.values, name)) return false;
        root.level = name;
        return true;
      },
    },
  };
}

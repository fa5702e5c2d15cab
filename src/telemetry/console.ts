// What libraries print to the console (ioredis does, of passwords that a server does not ask for) belongs into the log.
import { format } from "node:util";
import type { Logger } from "../plugin-api/telemetry.ts";

const maxLength = 500;

const methods = ["warn", "error"] as const;

/** The library that prints; in the bundle, whose libraries are in one file, it cannot be told. */
function caller(): string {
  const frames = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(new Error("who").stack ?? "");
  return frames?.[1] ?? "a library";
}

/** Until it is given back, `console.warn` and `console.error` are log lines. @returns gives it back */
export function takeConsole(logger: Logger): () => void {
  const printer = globalThis.console;
  const toLog = (...values: unknown[]): void =>
    logger.warn({ printed: format(...values).slice(0, maxLength) }, `${caller()} printed to the console`);
  const before = methods.map((method) => [method, Reflect.get(printer, method) as unknown] as const);
  for (const method of methods) printer[method] = toLog;
  return () => {
    for (const [method, print] of before)
      if (Reflect.get(printer, method) === toLog) Reflect.set(printer, method, print);
  };
}

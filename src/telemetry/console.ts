// Turns what libraries print to the console into log lines (ioredis warns of passwords that a server does not need).
import { format } from "node:util";
import type { Logger } from "../plugin-api/telemetry.ts";

const maxLength = 500;

const methods = ["warn", "error"] as const;

/** Names the library that prints. Inside the bundle it is unknown: all libraries are in one file. */
function caller(): string {
  const frames = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(new Error("who").stack ?? "");
  return frames?.[1] ?? "a library";
}

/** Turns `console.warn` and `console.error` into log lines. @returns a function that restores them */
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

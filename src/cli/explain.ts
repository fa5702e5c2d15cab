// Runs `outrigger explain`: tells why a request went as it did, or how a request would go.
import { loadConfig } from "../app/environment.ts";
import { readRequest } from "../app/foreseen-request.ts";
import type { Config } from "../config/config.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { LogStreams } from "../plane/log-streams.ts";
import { type AdminListener, readAdmin } from "../admin/ask.ts";
import { adminListeners } from "./admin-listeners.ts";
import type { ExplainOptions } from "./explain-options.ts";
import { printRequest, type ShownRequest } from "./explain-text.ts";
import { lineText, type LogRecord, recordOf } from "./log-line.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { unreachedText } from "./unreached.ts";
import { withPlane } from "./with-plane.ts";

/** Why the sidecar that served a request may not know it any more. */
const whatIsKept =
  "each keeps its last 1,000 requests, and of more than 200 a second only those that were refused or failed";

/** @returns the exit code: 1 when the request is not known, or cannot be predicted */
export async function explain(
  terminal: Terminal,
  id: string | undefined,
  options: ExplainOptions,
): Promise<number> {
  if ((id === undefined) === (options.request === undefined)) {
    terminal.err("name a request by its id, or one that has not happened by --request 'GET /path'\n");
    return 2;
  }
  const service = options.service === undefined ? {} : { OUTRIGGER_SERVICE: options.service };
  const config = loadConfig({ ...terminal.env, ...service });
  return id === undefined
    ? await explainForeseen(terminal, config, options)
    : await explainKnown(terminal, config, id, options);
}

async function explainKnown(
  terminal: Terminal,
  config: Config,
  id: string,
  options: ExplainOptions,
): Promise<number> {
  let listeners: readonly AdminListener[];
  try {
    listeners = await adminListeners(config, options.admin ?? []);
  } catch (error) {
    terminal.err(`--admin: ${printable(textOf(error))}\n`);
    return 2;
  }
  const path = `/requests/${encodeURIComponent(id)}`;
  const problems: string[] = [];
  const found: ShownRequest[] = [];
  const ask = async (listener: AdminListener): Promise<void> => {
    try {
      const { status, body } = await readAdmin(listener, path, config.adminToken);
      if (status === 200) found.push(JSON.parse(body) as ShownRequest);
      else problems.push(`${listener.name}: ${status === 404 ? "does not know it" : `answers ${status}`}`);
    } catch (error) {
      problems.push(unreachedText(listener, error, options.admin));
    }
  };
  await Promise.all(listeners.map(ask));
  if (found.length > 0) {
    if (options.json) terminal.out(`${JSON.stringify({ requests: found }, null, 2)}\n`);
    else for (const each of found) printRequest(terminal, each);
    return 0;
  }
  if (config.redis !== undefined) return await explainFromLog(terminal, id, options, problems);
  for (const problem of problems) terminal.err(`${printable(problem)}\n`);
  terminal.err(`no sidecar asked knows it: ${whatIsKept}; name others with --admin\n`);
  return 1;
}

/** Falls back to the log stream in Redis, if there is one: it holds fewer facts, for longer. */
async function explainFromLog(
  terminal: Terminal,
  id: string,
  options: ExplainOptions,
  problems: readonly string[],
): Promise<number> {
  const { service, json } = options;
  return await withPlane(terminal, service === undefined ? {} : { service }, async ({ store }) => {
    const streams = new LogStreams(store, service);
    const [entry] = await streams.last(1, (each) => recordOf(each)?.["requestId"] === id);
    if (entry === undefined) {
      for (const problem of problems) terminal.err(`${printable(problem)}\n`);
      terminal.err(
        `no sidecar asked knows it: ${whatIsKept}; name others with --admin. No log stream in Redis has it\n`,
      );
      return 1;
    }
    const record = recordOf(entry) as LogRecord;
    if (json) terminal.out(`${JSON.stringify({ requests: [], log: record }, null, 2)}\n`);
    else {
      terminal.err("no sidecar asked knows it; its line in the log:\n");
      terminal.out(`${lineText(entry, record)}\n`);
      for (const [name, value] of Object.entries(record))
        terminal.out(
          `  ${printable(`${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)}\n`,
        );
    }
    return 0;
  });
}

async function explainForeseen(terminal: Terminal, config: Config, options: ExplainOptions): Promise<number> {
  const written = writtenRequest(options);
  const request = typeof written === "string" ? [written] : readRequest(written);
  if (Array.isArray(request)) {
    for (const problem of request as readonly string[]) terminal.err(`${printable(problem)}\n`);
    return 2;
  }
  const { foreseeIn } = await import("./explain-foreseen.ts");
  return await foreseeIn(terminal, config, options, request as Exclude<typeof request, readonly string[]>);
}

/** @returns the request in the form of a policy's test, or what is wrong */
function writtenRequest({ request = "", header = [], identity }: ExplainOptions): object | string {
  const [, method, path] = /^(?:([A-Za-z]+) +)?(\S+)$/.exec(request.trim()) ?? [];
  if (path === undefined) return "--request takes a method and a path: 'GET /path'";
  const headers: Record<string, string[]> = Object.create(null);
  for (const line of header) {
    const [, name, value] = /^([^:]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) return "--header takes 'Name: value'";
    (headers[name.trim()] ??= []).push(value.trim());
  }
  const given = identity === undefined ? {} : parsedIdentity(identity);
  if (given === undefined) return "--identity takes a JSON object";
  return {
    ...(method !== undefined && { method: method.toUpperCase() }),
    path,
    ...(header.length > 0 && { headers: { ...headers } }),
    ...given,
  };
}

function parsedIdentity(text: string): object | undefined {
  try {
    const identity: unknown = JSON.parse(text);
    return typeof identity === "object" && identity !== null ? { identity } : undefined;
  } catch {
    return undefined;
  }
}

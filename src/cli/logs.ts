// Runs `outrigger logs`: prints the access log of all services, or of one, from their streams in Redis.
import { setTimeout as wait } from "node:timers/promises";
import { type LogEntry, LogStreams } from "../plane/log-streams.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import { parseStatuses } from "../language/statuses.ts";
import { lineText, type LogRecord, recordOf } from "./log-line.ts";
import { isColoured, type Terminal } from "./terminal.ts";
import { untilSignal } from "./until-signal.ts";
import { PlaneRefusal, withPlane } from "./with-plane.ts";

export interface LogsOptions {
  readonly service?: string;
  readonly follow?: true;
  readonly lines?: string;
  readonly status?: string;
  readonly route?: string;
  readonly json?: true;
}

const everyMs = 250;
const maxLines = 10_000;
/** Temporary errors: Redis is starting or busy, or a Cluster is choosing another master. */
const passing = new Set(["LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "TRYAGAIN"]);

/** @returns the exit code: 0 also after Ctrl-C, which is how following ends */
export async function printLogs(terminal: Terminal, options: LogsOptions): Promise<number> {
  const { service, route, follow } = options;
  const lines = Number(options.lines ?? "50");
  const isStatus = options.status === undefined ? () => true : parseStatuses(options.status);
  if (isStatus === undefined || !Number.isSafeInteger(lines) || lines < 0 || lines > maxLines) {
    terminal.err(`--status takes 5xx, 404 or 400-499, several with commas; --lines 0 to ${maxLines}\n`);
    return 2;
  }
  const isWanted = (record: LogRecord | undefined): boolean =>
    (options.status === undefined || isStatus(record?.["status"])) &&
    (route === undefined || record?.["route"] === route);
  const print = (entry: LogEntry): void => {
    const record = recordOf(entry);
    if (isWanted(record))
      terminal.out(`${options.json ? jsonOf(entry, record) : shown(terminal, entry, record)}\n`);
  };
  return await withPlane(terminal, options, async ({ store }) => {
    const streams = new LogStreams(store, service);
    const printLast = async (): Promise<void> => {
      const entries = await streams.last(lines, (each) => isWanted(recordOf(each)));
      for (const entry of entries) print(entry);
      if (entries.length === 0 && streams.size > 0 && lines > 0)
        terminal.err("no such line: services write here where the policy says pluginConfig.logging.stream\n");
    };
    if (follow === true)
      return await untilSignal(
        ["SIGINT"],
        async (stop) => {
          await printLast();
          return await followStreams(terminal, streams, print, stop);
        },
        terminal.closed,
      );
    await printLast();
    if (streams.size === 0)
      throw new PlaneRefusal("no service has had a sidecar within two hours: name one with --service");
    return 0;
  });
}

async function followStreams(
  terminal: Terminal,
  streams: LogStreams,
  print: (entry: LogEntry) => void,
  stop: AbortSignal,
): Promise<number> {
  let lost = false;
  while (!stop.aborted) {
    try {
      const entries = await streams.next();
      if (lost) terminal.err("Redis is back\n");
      lost = false;
      for (const entry of entries) print(entry);
      // There may be more entries at once.
      if (entries.length > 0) continue;
    } catch (error) {
      if (!isPassing(error)) throw error;
      if (!lost) terminal.err(`Redis is out of reach (${error.message}): going on when it is back\n`);
      lost = true;
    }
    await wait(everyMs, undefined, { signal: stop }).catch(() => {});
  }
  return 0;
}

const isPassing = (error: unknown): error is StoreUnavailable =>
  error instanceof StoreUnavailable && (error.code === undefined || passing.has(error.code));

function jsonOf({ service, id, line }: LogEntry, record: LogRecord | undefined): string {
  return JSON.stringify(record === undefined ? { service, id, text: line } : { ...record, service, id });
}

function shown(terminal: Terminal, entry: LogEntry, record: LogRecord | undefined): string {
  const text = lineText(entry, record);
  if (!isColoured(terminal)) return text;
  const status = Number(record?.["status"]);
  const colour = status >= 500 ? "\u001B[31m" : status >= 400 ? "\u001B[33m" : undefined;
  return colour === undefined ? text : `${colour}${text}\u001B[0m`;
}

// Runs `outrigger drill`: makes one sidecar behave as if something failed, and prints what callers got.
import { setTimeout as sleep } from "node:timers/promises";
import { type AdminListener, type AdminReply, readAdmin } from "../admin/ask.ts";
import { loadConfig } from "../app/environment.ts";
import { faultForms, parseFault } from "../drills/fault.ts";
import { type DrillReport, drillStatus, type DrillStatus } from "../drills/status.ts";
import { parseDuration } from "../language/duration.ts";
import { parseJson } from "../language/json.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { adminListeners } from "./admin-listeners.ts";
import { printable, printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { unreachedText } from "./unreached.ts";

export interface DrillOptions {
  readonly admin?: readonly string[];
  readonly instance?: string;
  readonly for: string;
  readonly json?: true;
}

type Method = "GET" | "POST" | "DELETE";
type Ask = (method: Method, path: string) => Promise<DrillStatus>;

const pollMs = 250;
/** How long to wait for the report after the drill should have ended by itself. */
const patienceMs = 15_000;
/** Time limit of one request; while waiting for the report, a failed request is repeated. */
const limitMs = 2_000;
/** Time limit for starting: the sidecar waits for workers that hang, a second each time. */
const beginLimitMs = 10_000;

/** @returns the exit code: 0 with a report, 1 without one, 2 when the arguments are wrong */
export async function drill(terminal: Terminal, fault: string, options: DrillOptions): Promise<number> {
  const forMs = parseDuration(options.for);
  if (parseFault(fault) === undefined || forMs === undefined) {
    terminal.err(`drill takes ${faultForms}, and --for a time such as 30s\n`);
    return 2;
  }
  const config = loadConfig(terminal.env);
  try {
    const listeners = await adminListeners(config, options.admin ?? []);
    const asks = listeners.map((listener) => asking(listener, config.adminToken, options.admin));
    const { ask, instance } = await chosen(asks, options.instance);
    const query = new URLSearchParams({ fault, for: options.for, instance });
    const report = await endedBySignal(ask, async () => {
      const { running } = await ask("POST", `/drill?${query.toString()}`);
      if (running === null) throw new Error(`${instance} says nothing of the drill that it was asked for`);
      terminal.err(`${printable(instance)} behaves as if ${fault}, for ${options.for}; Ctrl-C ends that\n`);
      return await reportOf(ask, running.id, performance.now() + forMs + patienceMs);
    });
    if (options.json === true) terminal.out(`${JSON.stringify(report)}\n`);
    else printReport(terminal, report);
    return 0;
  } catch (error) {
    terminal.err(`${printable(textOf(error))}\n`);
    return 1;
  }
}

/** Rejects, naming the sidecar, when it cannot be reached or refuses. */
function asking(
  listener: AdminListener,
  token: string | undefined,
  named: readonly string[] | undefined,
): Ask {
  return async (method, path) => {
    let reply: AdminReply;
    try {
      reply = await readAdmin(listener, path, token, {
        limitMs: method === "POST" ? beginLimitMs : limitMs,
        maxBytes: 4_194_304,
        method,
      });
    } catch (error) {
      throw new Error(unreachedText(listener, error, named), { cause: error });
    }
    if (reply.status >= 300) throw new Error(`${listener.name}: ${reply.status} ${detailIn(reply.body)}`);
    return drillStatus.parse(parseJson(reply.body));
  };
}

function detailIn(problem: string): string {
  try {
    return String((JSON.parse(problem) as { readonly detail?: unknown }).detail);
  } catch {
    return problem.slice(0, 200);
  }
}

/** Finds the sidecar with that instance name, or the only one. */
async function chosen(asks: readonly Ask[], named: string | undefined) {
  const [only] = asks;
  if (only !== undefined && asks.length === 1) {
    const { instance } = await only("GET", "/drill");
    if (named === undefined || named === instance) return { ask: only, instance };
    throw new Error(`the sidecar there is the instance ${instance}, not ${named}`);
  }
  if (named === undefined) throw new Error("--instance: there are several sidecars; say which");
  const found = await Promise.allSettled(asks.map((ask) => ask("GET", "/drill")));
  const at = found.findIndex((each) => each.status === "fulfilled" && each.value.instance === named);
  const ask = asks[at];
  if (ask !== undefined) return { ask, instance: named };
  const failed = found.flatMap((each) => (each.status === "rejected" ? [textOf(each.reason)] : []));
  throw new Error([`no sidecar there is the instance ${named}`, ...failed].join("; "));
}

/** Ctrl-C ends the drill, even while it is being started. Its report is still printed. */
async function endedBySignal<Result>(ask: Ask, run: () => Promise<Result>): Promise<Result> {
  const interrupt = (): void => void ask("DELETE", "/drill").catch(() => {});
  process.on("SIGINT", interrupt);
  try {
    return await run();
  } finally {
    process.off("SIGINT", interrupt);
  }
}

async function reportOf(ask: Ask, id: number, untilMono: number): Promise<DrillReport> {
  for (;;) {
    await sleep(pollMs);
    // A sidecar that does not answer now may answer later: the drill ends by itself.
    const status = await ask("GET", "/drill").catch((error: unknown) => error);
    if (!(status instanceof Error)) {
      const { last, running } = status as DrillStatus;
      if (last?.id === id) return last;
      if (running?.id !== id)
        throw new Error("the sidecar knows nothing of the drill any more: it began anew");
    } else if (performance.now() > untilMono) throw status;
  }
}

function printReport(terminal: Terminal, { fault, forMs, routes }: DrillReport): void {
  terminal.out(`as if ${printable(fault)}, for ${Math.round(forMs / 1_000)} s: what callers got\n`);
  const rows = routes.map(({ route, requests, statuses, answeredBy, declared }) => [
    route === "" ? "(none)" : route,
    String(requests),
    counted(statuses),
    counted(answeredBy),
    declared.join(", ") || "-",
  ]);
  printTable(terminal, ["ROUTE", "REQUESTS", "STATUS", "ANSWERED BY", "THE POLICY SAYS"], rows);
}

function counted(counts: Readonly<Record<string, number>>): string {
  return (
    Object.entries(counts)
      .map(([what, count]) => `${what} ×${count}`)
      .join(", ") || "-"
  );
}

// `outrigger plugins list`: the plugins that this version has, and the kill switches that are set.
import { registry } from "../app/registry.ts";
import { durationText } from "../language/duration.ts";
import type { SwitchEntry } from "../plane/switch-history.ts";
import type { SwitchList } from "../plane/kill-switches.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { askedTrust } from "./plane-trust.ts";
import { withPlane } from "./with-plane.ts";
import { withSwitches } from "./with-switches.ts";

export interface ListOptions {
  readonly history?: true;
  readonly json?: true;
}

/** @returns the exit code */
export async function listPlugins(terminal: Terminal, options: ListOptions): Promise<number> {
  return await withPlane(terminal, {}, async (plane) => {
    if (options.history === true) {
      const entries = await withSwitches(plane, undefined, (switches) => switches.history());
      printSwitchHistory(terminal, entries, options.json);
      return 0;
    }
    const off = await withSwitches(plane, await askedTrust(plane), (switches) => switches.list());
    if (options.json) printJson(terminal, off);
    else printTables(terminal, off);
    return 0;
  });
}

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

function printSwitchHistory(terminal: Terminal, entries: readonly SwitchEntry[], json?: true): void {
  if (json) {
    const history = entries.map(({ atMs, untilMs, service = null, route = null, ...rest }) => ({
      at: iso(atMs),
      ...rest,
      service,
      route,
      until: iso(untilMs),
    }));
    terminal.out(`${JSON.stringify({ history }, null, 2)}\n`);
    return;
  }
  const rows = entries.map(({ atMs, untilMs, act, plugin, service, route, author, reason }) => [
    iso(atMs) ?? "",
    act === "disable" ? "off" : "on",
    plugin,
    service ?? "all",
    route ?? "all",
    untilMs === null ? "-" : durationText(untilMs - atMs),
    author,
    reason,
  ]);
  printTable(terminal, ["AT", "SWITCHED", "PLUGIN", "SERVICE", "ROUTE", "FOR", "BY", "REASON"], rows);
}

const plugins = registry
  .toSorted((a, b) => a.priority - b.priority)
  .map(({ name, version, priority, security }) => ({ name, version, priority, security }));

function printJson(terminal: Terminal, { switches, unreadable }: SwitchList): void {
  const disabled = switches.map(({ plugin, service, route, untilMs, atMs, ...rest }) => ({
    plugin,
    service: service ?? null,
    route: route ?? null,
    until: untilMs === undefined ? null : new Date(untilMs).toISOString(),
    at: new Date(atMs).toISOString(),
    ...rest,
  }));
  terminal.out(`${JSON.stringify({ plugins, disabled, unreadable }, null, 2)}\n`);
}

function printTables(terminal: Terminal, { switches, unreadable, nowMs }: SwitchList): void {
  printTable(
    terminal,
    ["PLUGIN", "VERSION", "PRIORITY", "SECURITY"],
    plugins.map(({ name, version, priority, security }) => [
      name,
      version,
      String(priority),
      security ? "yes" : "no",
    ]),
  );
  if (switches.length > 0) {
    terminal.out("\n");
    printTable(
      terminal,
      ["OFF", "SERVICE", "ROUTE", "FOR", "BY", "REASON", "EFFECT"],
      switches.map(({ plugin, service, route, untilMs, author, reason, openRoutes, counts }) => [
        plugin,
        service ?? "all",
        route ?? "all",
        untilMs === undefined ? "good" : `${Math.ceil((untilMs - nowMs) / 1000)}s`,
        author,
        reason,
        counts ? (openRoutes ? "left out" : "routes answer 503") : "none: not signed by a key that counts",
      ]),
    );
  }
  for (const field of unreadable)
    terminal.err(
      `no sidecar can read the kill switch ${JSON.stringify(field)}: it goes when its place is needed\n`,
    );
}

// Runs `outrigger plugins list`: lists the plugins of this version and the kill switches that are set.
import { pluginsByName, registry } from "../app/registry.ts";
import { durationText } from "../language/duration.ts";
import { type Member, readFleet } from "../plane/fleet.ts";
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
    const brought = broughtIn((await readFleet(plane.store, undefined)).members);
    if (options.json) printJson(terminal, off, brought);
    else printTables(terminal, off, brought);
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
    untilMs === null ? "-" : asked(untilMs - atMs),
    author,
    reason,
  ]);
  printTable(terminal, ["AT", "SWITCHED", "PLUGIN", "SERVICE", "ROUTE", "FOR", "BY", "REASON"], rows);
}

const plugins = registry
  .toSorted((a, b) => a.priority - b.priority)
  .map(({ name, version, priority, security }) => ({ name, version, priority, security }));

/** A version of a plugin that policies bring, with the sidecars that have it in force. */
interface Brought {
  readonly name: string;
  readonly version: string;
  readonly sidecars: number;
  /** How many of them report trouble with it, and one such report. */
  readonly troubled: number;
  readonly trouble: string | null;
}

function broughtIn(members: readonly Member[]): Brought[] {
  const found = new Map<string, Brought>();
  for (const { state, receipt } of members) {
    if (state !== "live" || receipt === null) continue;
    for (const [name, version] of Object.entries(receipt.plugins)) {
      if (Object.hasOwn(pluginsByName, name)) continue;
      const key = JSON.stringify([name, version]);
      const before = found.get(key);
      const trouble = receipt.troubles[name];
      found.set(key, {
        name,
        version,
        sidecars: (before?.sidecars ?? 0) + 1,
        troubled: (before?.troubled ?? 0) + (trouble === undefined ? 0 : 1),
        trouble: before?.trouble ?? trouble ?? null,
      });
    }
  }
  const byName = (a: Brought, b: Brought): number =>
    a.name < b.name ? -1 : a.name > b.name ? 1 : b.sidecars - a.sidecars;
  return [...found.values()].sort(byName);
}

function printJson(
  terminal: Terminal,
  { switches, unreadable }: SwitchList,
  brought: readonly Brought[],
): void {
  const disabled = switches.map(({ plugin, service, route, untilMs, atMs, ...rest }) => ({
    plugin,
    service: service ?? null,
    route: route ?? null,
    until: untilMs === undefined ? null : new Date(untilMs).toISOString(),
    at: new Date(atMs).toISOString(),
    ...rest,
  }));
  terminal.out(`${JSON.stringify({ plugins, extensions: brought, disabled, unreadable }, null, 2)}\n`);
}

function printTables(terminal: Terminal, off: SwitchList, brought: readonly Brought[]): void {
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
  if (brought.length > 0) printBrought(terminal, brought);
  if (off.switches.length > 0) printOff(terminal, off);
  for (const field of off.unreadable)
    terminal.err(
      `no sidecar can read the kill switch ${JSON.stringify(field)}: it goes when its place is needed\n`,
    );
}

function printBrought(terminal: Terminal, brought: readonly Brought[]): void {
  terminal.out("\n");
  printTable(
    terminal,
    ["EXTENSION", "VERSION", "SIDECARS", "TROUBLE"],
    brought.map(({ name, version, sidecars, troubled, trouble }) => [
      name,
      version,
      String(sidecars),
      trouble === null ? "" : `${troubled}: ${trouble}`,
    ]),
  );
}

function printOff(terminal: Terminal, { switches, nowMs }: SwitchList): void {
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
      counts ? effectOf(plugin, openRoutes) : "none: not signed by a key that counts",
    ]),
  );
}

function effectOf(plugin: string, openRoutes: boolean): string {
  if (openRoutes) return "left out";
  // For a plugin that a policy brings, this command cannot know.
  return Object.hasOwn(pluginsByName, plugin) ? "routes answer 503" : "left out, or 503 where it is security";
}

/** Rounds a duration to what was asked for: two clocks and the way to Redis have changed it a little. */
function asked(ms: number): string {
  const unit = ms < 60_000 ? 1_000 : 60_000;
  return durationText(Math.round(ms / unit) * unit);
}

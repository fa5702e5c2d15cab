// Checks the rules that every plugin must follow, whoever wrote it (plugins/README.md).
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { registry } from "../../app/registry.ts";
import type { PluginDefinition } from "../../plugin-api/contract.ts";
import { optionsTable } from "../../testing/options-table.ts";
import { problemsOf } from "../../testing/plugin-form.ts";
import { bad, type Finding, good } from "../finding.ts";
import type { LoadedPlugin } from "./loaded.ts";

export async function contractFindings({ folder, extension, definition }: LoadedPlugin): Promise<Finding[]> {
  const { manifest, kind, bytes, sha256 } = extension.package;
  const { name, version } = manifest;
  const size = `${name}@${version}, ${kind}, ${bytes.length} bytes, sha256 ${sha256.slice(0, 12)}…`;
  // The runtime added these members, not the plugin.
  const own = { ...definition, version };
  for (const name of ["hookLimitMs", "status"]) Reflect.deleteProperty(own, name);
  const problems = [...problemsOf(own), ...clashes(definition)];
  return [
    good("package", size),
    ...problems.map((problem) => bad("rules", problem)),
    ...(problems.length === 0 ? [good("rules", "name, version, priority, fail mode, options")] : []),
    await readmeFinding(folder, optionsTable(definition.options)),
  ];
}

/** Finds clashes with built-in plugins, for which every policy with the plugin would be refused. */
function clashes({ name, priority }: PluginDefinition): string[] {
  const same = registry.find((plugin) => plugin.priority === priority);
  return [
    ...(registry.some((plugin) => plugin.name === name) ? [`name: ${name} is a built-in plugin`] : []),
    ...(same === undefined ? [] : [`priority: ${priority} is that of ${same.name}, which is built in`]),
  ];
}

const headRows = 2;

async function readmeFinding(folder: string, table: string): Promise<Finding> {
  const text = await readFile(join(folder, "README.md"), "utf8").catch(() => undefined);
  if (text === undefined) return bad("README.md", "is not there");
  if (rowsIn(table.split("\n")).length === headRows) return good("README.md", "has no options to tell of");
  const section = text.split(/^## Options$/m)[1]?.split(/^## /m)[0] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  if (rowsIn(rows).join("\n") === rowsIn(table.split("\n")).join("\n"))
    return good("README.md", "has the table of the options");
  return bad(
    "README.md",
    `its section "## Options" does not have the table of the options, which is:\n${table}`,
  );
}

/** Normalises the rows, because formatters change the widths of columns. */
const rowsIn = (lines: readonly string[]): string[] =>
  lines.map((line) => line.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---").trim());

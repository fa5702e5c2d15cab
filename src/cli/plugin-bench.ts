// Runs `outrigger plugin bench [FOLDER]`: measures what a plugin costs per request and writes it into its
// manifest.json.
import { readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ask, type Cost } from "../kit/ask.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { printJson } from "./json-text.ts";
import type { TryOptions } from "./plugin-test.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface BenchOptions extends TryOptions {
  readonly dryRun?: true;
}

/** @returns the exit code */
export async function benchPlugin(terminal: Terminal, path: string, options: BenchOptions): Promise<number> {
  try {
    const found = await measured(terminal, path, options);
    const file = options.dryRun === true ? undefined : await written(path, found.cost);
    if (options.json) printJson(terminal, { ...found, file: file ?? null });
    else {
      const { micros, bytes, measuredWith } = found.cost;
      terminal.out(
        `${found.name}@${found.version}: ${micros} µs and ${bytes} bytes a request (${printable(measuredWith)})\n`,
      );
      if (file !== undefined) terminal.out(`${printable(file)} says so now\n`);
    }
    return 0;
  } catch (error) {
    terminal.err(`${printable(textOf(error))}\n`);
    return 1;
  }
}

interface Found {
  readonly name: string;
  readonly version: string;
  readonly cost: Cost;
}

async function measured({ env }: Terminal, path: string, { runtime }: TryOptions): Promise<Found> {
  let found: Found | undefined;
  await ask({
    what: "bench",
    path,
    runtime,
    env,
    onAnswer: (answer) => {
      if ("cost" in answer) found = answer;
    },
  });
  if (found === undefined) throw new Error("nothing was measured");
  return found;
}

/** Leaves the rest of the manifest as its author wrote it. */
async function written(path: string, cost: Cost): Promise<string> {
  const folder = (await stat(path)).isDirectory() ? path : dirname(path);
  const file = join(folder, "manifest.json");
  const text = await readFile(file, "utf8").catch(() => "{}");
  await writeFile(file, `${JSON.stringify({ ...(JSON.parse(text) as object), cost }, null, 2)}\n`);
  return file;
}

// Runs `outrigger plugin init NAME`: makes the folder of a new plugin.
import { resolve } from "node:path";
import { pluginsByName } from "../app/registry.ts";
import { InitRefusal, initPlugin } from "../kit/init.ts";
import type { Kind } from "../kit/template.ts";
import { printJson } from "./json-text.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface InitOptions {
  readonly kind: Kind;
  readonly in?: string;
  readonly json?: true;
}

/** @returns the exit code */
export async function initPluginFolder(
  terminal: Terminal,
  name: string,
  options: InitOptions,
): Promise<number> {
  if (Object.hasOwn(pluginsByName, name)) {
    terminal.err(`${name} is a built-in plugin: take another name\n`);
    return 2;
  }
  try {
    const made = await initPlugin(name, options.kind, folderFor(terminal, options.in ?? name));
    if (options.json) printJson(terminal, { name, ...made });
    else {
      for (const file of made.files) terminal.out(`${printable(`${made.folder}/${file}`)}\n`);
      const next = options.kind === "ts" ? "npm test" : "npm run build && npm test";
      terminal.out(`next: cd ${printable(made.folder)} && ${next}\n`);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof InitRefusal)) throw error;
    terminal.err(`${printable(error.message)}\n`);
    return error.message.includes("is no name") ? 2 : 1;
  }
}

/**
 * Resolves the folder against the user's working directory: `npm run` changes to its package's folder first and passes
 * the original one.
 */
function folderFor({ env }: Terminal, given: string): string {
  const from = env["npm_lifecycle_event"] === "outrigger" ? env["INIT_CWD"] : undefined;
  return from === undefined ? given : resolve(from, given);
}

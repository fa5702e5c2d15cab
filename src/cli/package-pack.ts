// Runs `outrigger plugin pack DIR|FILE`: bundles an author's code into one file with its manifest.
import { writeFile } from "node:fs/promises";
import { pack } from "../plane/pack/pack.ts";
import { PackError } from "../plane/pack/pack-error.ts";
import { versionedName } from "../extensions/source.ts";
import { printJson } from "./json-text.ts";
import { printableLines, printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface PackOptions {
  readonly out?: string;
  readonly manifest?: string;
  readonly json?: true;
}

/** @returns the exit code */
export async function packPlugin(terminal: Terminal, path: string, options: PackOptions): Promise<number> {
  try {
    const { manifest, kind, bytes, sha256 } = await pack(path, options.manifest);
    const { name, version } = manifest;
    const file = options.out ?? `${versionedName(name, version)}${kind === "wasm" ? ".wasm" : ".cjs"}`;
    await writeFile(file, bytes).catch((error: NodeJS.ErrnoException) => {
      throw new PackError(`${file} cannot be written: ${error.code}`);
    });
    if (options.json) printJson(terminal, { file, name, version, kind, bytes: bytes.length, sha256 });
    else
      printTable(
        terminal,
        ["FILE", "NAME", "VERSION", "BYTES", "SHA-256"],
        [[file, name, version, String(bytes.length), sha256]],
      );
    return 0;
  } catch (error) {
    if (!(error instanceof PackError)) throw error;
    terminal.err(`${printableLines(error.message)}\n`);
    return 1;
  }
}

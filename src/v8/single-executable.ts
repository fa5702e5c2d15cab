// Detects the single executable for hosts without Node (Node's single executable application). Files that otherwise lie
// beside the program are inside that executable.
import { getAsset, isSea } from "node:sea";

export const isSingleExecutable = isSea();

/** @param name as in deploy/executable.ts. @throws Error if there is no such part */
export function partText(name: string): string {
  return getAsset(name, "utf8");
}

/** The argument that makes the executable run as a plugin's process; no command has this name. */
export const pluginProcessWord = "outrigger-plugin-process";

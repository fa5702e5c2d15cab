// Where the program is one executable for hosts without Node (Node's single executable application): what else is a file
// beside it is within it there.
import { getAsset, isSea } from "node:sea";

export const isSingleExecutable = isSea();

/** @param name as deploy/executable.ts puts it there. @throws Error when it is not */
export function partText(name: string): string {
  return getAsset(name, "utf8");
}

/** The word by which the executable is told to be the process of a plugin; no command has it. */
export const pluginProcessWord = "outrigger-plugin-process";

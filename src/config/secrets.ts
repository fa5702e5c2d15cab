// Reads secrets of the environment: from the variable itself, or from the file that `<NAME>_FILE` names.
import { closeSync, openSync, readSync } from "node:fs";
import { FormatError, parsePath, reason, type ReadFile, shownPath } from "./formats.ts";

const maxFileBytes = 1_048_576;

/** Reads at most 1 MiB as UTF-8. `readFileSync` is not used: it reads /dev/zero until memory ends. */
export function readTextFile(path: string): string {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(maxFileBytes + 1);
    let length = 0;
    while (length <= maxFileBytes) {
      const read = readSync(file, bytes, length, bytes.length - length, null);
      if (read === 0) return bytes.toString("utf8", 0, length);
      length += read;
    }
    throw new Error("larger than 1 MiB");
  } finally {
    closeSync(file);
  }
}

/**
 * Removes what editors, `echo` and pastes add around a secret: byte order mark, line ends and, where no space can
 * belong to it, blanks. A secret that a policy names keeps its blanks, since its use is not known here.
 */
function cleaned(name: string, text: string): string {
  return name.startsWith("OUTRIGGER_SECRET_")
    ? text.replace(/^\uFEFF/, "").replace(/[\r\n]+$/, "")
    : text.trim();
}

/** @throws FormatError whose text holds nothing of the file */
export function readSecretFile(name: string, path: string, readFile: ReadFile): string {
  if (path === "") throw new FormatError("is empty: give a path or unset it");
  // Text that does not look like a path may be the secret itself.
  const shown = /^\.{0,2}\//.test(path) ? shownPath(path) : "the file that it names";
  let text: string;
  try {
    text = readFile(parsePath(path));
  } catch (error) {
    throw new FormatError(`${shown} cannot be read: ${reason(error)}`);
  }
  const secret = cleaned(name, text);
  if (secret === "") throw new FormatError(`${shown} is an empty file`);
  return secret;
}

/**
 * @param names the variables that hold secrets
 * @param problems gets one line for each fault
 * @returns the secrets that are set and not empty, by variable
 */
export function readSecrets(
  env: Readonly<Record<string, string | undefined>>,
  names: Iterable<string>,
  readFile: ReadFile,
  problems: string[],
): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const text = env[name];
    const path = env[`${name}_FILE`];
    if (text !== undefined && path !== undefined) {
      problems.push(`${name}: both it and ${name}_FILE are set: choose one`);
    } else if (text !== undefined && cleaned(name, text) === "") {
      problems.push(`${name}: is empty: give a value or unset it`);
    } else if (text !== undefined) {
      found[name] = cleaned(name, text);
    } else if (path !== undefined) {
      try {
        found[name] = readSecretFile(name, path, readFile);
      } catch (error) {
        problems.push(`${name}_FILE: ${(error as Error).message}`);
      }
    }
  }
  return found;
}

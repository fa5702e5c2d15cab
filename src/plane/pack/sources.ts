// Finds the sources to pack: a file, or a folder whose code has one of the usual names.
import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { isObject } from "../../policy/document/plain-object.ts";
import { maxManifestBytes } from "../../extensions/package.ts";
import { parseJson } from "../../language/json.ts";
import { PackError } from "./pack-error.ts";

export interface Sources {
  /** The WebAssembly module, or the entry file of a bundle. */
  readonly code: string;
  readonly kind: "wasm" | "js";
  readonly folder: string;
  /** The author's manifest, unchecked. */
  readonly said: Readonly<Record<string, unknown>>;
}

/** Names tried in this order in a folder whose package.json names no `main`. */
const usual = [
  "plugin.ts",
  "src/plugin.ts",
  "index.ts",
  "src/index.ts",
  "plugin.js",
  "index.js",
  "plugin.wasm",
  "build/plugin.wasm",
];

/** @param manifestFile undefined = `manifest.json` beside the code, if it is there. Rejects with PackError */
export async function sourcesAt(path: string, manifestFile: string | undefined): Promise<Sources> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new PackError(`${path} cannot be read: ${error.code}`);
  });
  const folder = resolve(found.isDirectory() ? path : dirname(path));
  const about = await jsonIn(join(folder, "package.json"), false);
  const code = found.isDirectory() ? codeIn(folder, about["main"]) : resolve(path);
  if (!/\.([cm]?[jt]s|wasm)$/.test(code))
    throw new PackError(`${basename(code)} is no .ts, .js or .wasm: a plugin is one of these`);
  const beside = join(folder, "manifest.json");
  const said = manifestFile === undefined ? await jsonIn(beside, false) : await jsonIn(manifestFile, true);
  // A WebAssembly module cannot state its version, so package.json may; JavaScript states its own.
  const isModule = code.endsWith(".wasm");
  if (isModule && manifestFile === undefined && !existsSync(beside))
    throw new PackError(
      `${basename(code)} has no manifest.json beside it: write one, or name it by --manifest`,
    );
  const { version } = about;
  const byPackage = isModule && version !== undefined ? { version } : {};
  return { code, kind: isModule ? "wasm" : "js", folder, said: { ...byPackage, ...said } };
}

function codeIn(folder: string, main: unknown): string {
  const names = typeof main === "string" ? [main] : usual;
  const found = names.find((name) => existsSync(join(folder, name)));
  if (found !== undefined) return join(folder, found);
  throw new PackError(
    typeof main === "string"
      ? `package.json names ${JSON.stringify(main)} as main, and that is not there`
      : `${folder} holds none of ${usual.join(", ")}, and no package.json with main`,
  );
}

async function jsonIn(path: string, mustBe: boolean): Promise<Readonly<Record<string, unknown>>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && !mustBe) return {};
    throw new PackError(`${path} cannot be read: ${code}`);
  }
  if (text.length > maxManifestBytes) throw new PackError(`${path} is longer than ${maxManifestBytes} bytes`);
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new PackError(`${path} is ${(error as SyntaxError).message}`);
  }
  if (isObject(value)) return value;
  throw new PackError(`${path} is no JSON object`);
}

// Writes the folder of a new plugin, and links Outrigger where the plugin's imports look for it.
import { chmod, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { extensionName } from "../extensions/manifest.ts";
import { version } from "../version.ts";
import type { Files, Kind, Template } from "./template.ts";

/** Extension of this program's own files: `.ts` in a checkout, `.js` when installed by npm. */
const form = extname(import.meta.url);

/** The plugin was not created and nothing was written; the message says why. */
export class InitRefusal extends Error {
  override readonly name = "InitRefusal";
}

export interface Made {
  readonly folder: string;
  readonly files: readonly string[];
}

/** @param folder must not exist yet, or be empty. Rejects with an InitRefusal */
export async function initPlugin(name: string, kind: Kind, folder: string): Promise<Made> {
  const { error } = extensionName.safeParse(name);
  if (error !== undefined)
    throw new InitRefusal(`${JSON.stringify(name)} is no name: it ${error.issues[0]?.message ?? ""}`);
  const there = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new InitRefusal(`${folder} cannot be read: ${error.code}`);
  });
  if (there.length > 0) throw new InitRefusal(`${folder} is not empty, and nothing is written over`);
  const own = resolve(fileURLToPath(new URL("../..", import.meta.url)));
  if (!existsSync(join(own, `src/plugin-api/contract${form}`)))
    throw new InitRefusal("this is not in the image: run it from npm's package, or a checkout");
  // A compiled copy comes from npm, so its version can be a dependency.
  const outrigger = form === ".ts" ? `file:${relative(resolve(folder), own) || "."}` : `^${version}`;
  const template = { name, outrigger };
  const files = await filesOf(kind, template);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  await link(
    resolve(folder),
    own,
    Object.keys(JSON.parse(files["package.json"] ?? "").devDependencies as object),
  );
  return { folder, files: Object.keys(files) };
}

async function filesOf(kind: Kind, template: Template): Promise<Files> {
  if (kind === "ts") return (await import("./template-ts.ts")).tsFiles(template);
  return (await import("./template-wasm.ts")).wasmFiles(template);
}

/** Links the packages that are at hand, as `npm install` would, so that the plugin's tests run at once. */
async function link(folder: string, own: string, names: readonly string[]): Promise<void> {
  const modules = join(folder, "node_modules");
  await mkdir(join(modules, ".bin"), { recursive: true });
  for (const name of names) {
    const target = name === "outrigger" ? own : installed(name, own);
    if (target === undefined) continue;
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(relative(dirname(join(modules, name)), target), join(modules, name), "dir");
  }
  // npm's scripts call `node`, and the one beside npm may be too old.
  const node = join(modules, ".bin/node");
  await writeFile(node, `#!/bin/sh\nexec '${process.execPath}' "$@"\n`);
  await chmod(node, 0o755);
  const command = join(modules, ".bin/outrigger");
  await writeFile(command, `#!/bin/sh\nexec '${process.execPath}' '${join(own, `src/main${form}`)}' "$@"\n`);
  await chmod(command, 0o755);
  for (const [bin, script] of [
    ["tsc", "typescript/bin/tsc"],
    ["asc", "assemblyscript/bin/asc.js"],
  ] as const) {
    const file = join(modules, script);
    if (!existsSync(file)) continue;
    await writeFile(join(modules, ".bin", bin), `#!/bin/sh\nexec '${process.execPath}' '${file}' "$@"\n`);
    await chmod(join(modules, ".bin", bin), 0o755);
  }
}

/** @returns the folder of a package that is installed beside Outrigger; undefined = not installed */
function installed(name: string, own: string): string | undefined {
  const folders = createRequire(join(own, "package.json")).resolve.paths(name) ?? [];
  return folders.map((each) => join(each, name)).find((each) => existsSync(each));
}

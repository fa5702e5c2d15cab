// Compiles guests of the proxy-wasm ABI from the sources beside this file: C with clang, AssemblyScript with the SDK
// from npm. Compiled guests are cached under the digest of all their sources.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const folder = import.meta.dirname;
const root = join(folder, "../../..");
const kept = join(tmpdir(), `outrigger-guests-${process.getuid?.() ?? 0}`);
const run = promisify(execFile);

export type AbiVersion = "0.1.0" | "0.2.0" | "0.2.1";
export const abiVersions: readonly AbiVersion[] = ["0.1.0", "0.2.0", "0.2.1"];
const abiNumbers = { "0.1.0": 10, "0.2.0": 20, "0.2.1": 21 } as const;

const clang = [
  "--target=wasm32",
  "-nostdlib",
  "-Os",
  "-Wall",
  "-Wl,--no-entry,--stack-first,-z,stack-size=65536",
];
const asc = ["-O2", "--use", "abort=abort_proc_exit", "--use", "process=logged_process"];

/** The part of `WebAssembly` that is used here: TypeScript's library for servers does not declare it. */
interface ModuleReader {
  new (bytes: Uint8Array): object;
  imports(module: object): { module: string; name: string }[];
  exports(module: object): { name: string }[];
}
const { Module } = (globalThis as unknown as { WebAssembly: { Module: ModuleReader } }).WebAssembly;

/** `module.name` of each import. */
export const importsOf = (bytes: Buffer): string[] =>
  Module.imports(new Module(Uint8Array.from(bytes))).map(({ module, name }) => `${module}.${name}`);

export const exportsOf = (bytes: Buffer): string[] =>
  Module.exports(new Module(Uint8Array.from(bytes))).map(({ name }) => name);

/**
 * Compiles a guest in C.
 * @param name the file's name without `.c`
 * @param flags further compiler flags
 */
export function cGuest(name: string, flags: readonly string[] = []): Promise<Buffer> {
  const file = join(folder, `${name}.c`);
  return compiled(`${name}.c`, flags, async (output) => {
    await run("clang", [...clang, ...flags, "-o", output, file]);
  });
}

/** The guest that runs the script in its configuration (see script.c). */
export function scriptGuest(abi: AbiVersion = "0.2.1"): Promise<Buffer> {
  return cGuest("script", [`-DABI=${abiNumbers[abi]}`]);
}

/** The guest that uses the AssemblyScript SDK. */
export function assemblyGuest(): Promise<Buffer> {
  return compiled("assembly.as", asc, async (output) => {
    // The sources have a file extension of their own, since they are not TypeScript; the compiler demands TypeScript's.
    const copies = mkdtempSync(join(tmpdir(), "outrigger-assembly-"));
    try {
      for (const name of ["assembly", "process"]) {
        copyFileSync(join(folder, `${name}.as`), join(copies, `${name}.ts`));
      }
      const modules = join(root, "node_modules");
      const compiler = join(modules, "assemblyscript/bin/asc.js");
      const args = ["assembly.ts", "process.ts", ...asc, "--path", modules, "--outFile", output];
      await run(process.execPath, [compiler, ...args], { cwd: copies });
    } finally {
      rmSync(copies, { recursive: true, force: true });
    }
  });
}

async function compiled(
  name: string,
  flags: readonly string[],
  compile: (output: string) => Promise<void>,
): Promise<Buffer> {
  const digest = createHash("sha256").update(JSON.stringify([name, flags, clang, asc, sourcesOf(name)]));
  const path = join(kept, `${digest.digest("hex")}.wasm`);
  try {
    return readFileSync(path);
  } catch {
    mkdirSync(kept, { recursive: true, mode: 0o700 });
    const partial = `${path}.${process.pid}`;
    await compile(partial);
    renameSync(partial, path);
    return readFileSync(path);
  }
}

function sourcesOf(name: string): string[] {
  const isPart = name.endsWith(".c") ? (file: string) => file === name || file.endsWith(".h") : isAssembly;
  return readdirSync(folder)
    .filter(isPart)
    .sort()
    .map((file) => readFileSync(join(folder, file), "utf8"));
}

const isAssembly = (file: string): boolean => file.endsWith(".as");

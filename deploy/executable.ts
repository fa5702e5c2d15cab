// `npm run executable`: builds one file for hosts without Node, from the bundle and the Node that runs this program,
// for this platform. `node deploy/executable.ts [folder of the bundle] [file]`
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { rolldown } from "rolldown";
import { nodeFlags } from "./node-flags.ts";

const root = join(import.meta.dirname, "..");

/**
 * Files of the bundle that the executable holds, without isolated-vm: that is native code, which cannot be embedded.
 */
const parts = [
  "program.cjs",
  "program.cache",
  "policy-thread.cjs",
  "bcrypt-program.cjs",
  "plugin-process.cjs",
];

async function mainOf(folder: string): Promise<string> {
  const bundle = await rolldown({ input: join(root, "deploy/executable-main.ts"), platform: "node" });
  const { output } = await bundle.generate({ format: "cjs", codeSplitting: false, comments: false });
  await bundle.close();
  const file = join(folder, "main.cjs");
  writeFileSync(file, output[0].code);
  return file;
}

/** @param bundle the output of deploy/bundle.ts */
async function build(bundle: string, file: string): Promise<void> {
  mkdirSync(dirname(file), { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), "outrigger-executable-"));
  try {
    const config = join(folder, "sea.json");
    const described = {
      main: await mainOf(folder),
      output: file,
      executable: process.execPath,
      disableExperimentalSEAWarning: true,
      // The program has bytecode of its own: program.cache.
      useCodeCache: false,
      // The warning is about the way in which the program is loaded, and would come on every start.
      execArgv: [...nodeFlags, "--disable-warning=ExperimentalWarning"],
      // The process of a plugin is this file again, with fewer rights, given as flags.
      execArgvExtension: "cli",
      assets: Object.fromEntries(parts.map((name) => [name, join(bundle, name)])),
    };
    writeFileSync(config, JSON.stringify(described));
    execFileSync(process.execPath, ["--build-sea", config], { stdio: ["ignore", "ignore", "inherit"] });
    chmodSync(file, 0o755);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [bundle = join(root, "dist"), file = join(root, "outrigger")] = process.argv.slice(2);
await build(resolve(bundle), resolve(file));
process.stdout.write(`${resolve(file)}\n`);

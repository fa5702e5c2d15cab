// `npm run bundle`: builds the whole program as one file, for the image, with its bytecode, a launcher, the health
// check, the licences of the packages in it and its bill of materials. The bundle starts sooner and in less memory than
// the sources, and needs no node_modules. `node deploy/bundle.ts [folder] [--bytecode=off]`: V8 never writes the same
// bytecode twice; without it two builds are identical.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { rolldown } from "rolldown";
import { nodeFlags } from "./node-flags.ts";
import { cacheOf } from "./program.ts";
import { sbomOf } from "./sbom.ts";

const root = join(import.meta.dirname, "..");

/** Name, version and licence text of every package that has one of these modules. */
function licencesOf(modules: readonly string[]): string {
  const folders = new Set(modules.map((module) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(module)?.[0]));
  const texts = [...folders]
    .filter((folder) => folder !== undefined)
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
        name: string;
        version: string;
        license: string;
      };
      const [file] = globSync("{licen[cs]e,LICEN[CS]E}*", { cwd: folder }).sort();
      const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8").trim();
      return `${name} ${version}, ${license}\n\n${text}`.trim();
    });
  // Sorted by text, so that the order does not depend on paths.
  return `${[...new Set(texts)].sort().join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}

/** Bundles a module with its imports. @returns one CommonJS text, and the modules in it */
async function bundle(input: string): Promise<{ code: string; modules: string[] }> {
  const bundle = await rolldown({
    input: join(root, input),
    platform: "node",
    // A native module: it only packs plugins, and only where it is installed.
    external: ["rolldown"],
    // A warning means that a module would be missing in the image or would behave differently there.
    onLog(level, log) {
      if (level === "warn") throw new Error(`${log.code}: ${log.message}`);
    },
  });
  // Line breaks and names stay, so that stacks can be read. Minifying them saves 1 MiB and no time.
  const { output } = await bundle.generate({ format: "cjs", codeSplitting: false, comments: false });
  await bundle.close();
  return { code: output[0].code.replace(/^#!.*\n/, ""), modules: output[0].moduleIds };
}

/**
 * Replaces characters beyond ASCII by their escapes: one character beyond Latin-1 makes V8 keep the whole text with two
 * bytes for each character. The grammar allows the escape wherever it allows the character, except in raw text and
 * behind a backslash.
 */
function toAscii(code: string): string {
  if (/\\[\u0080-\uffff]|String\.raw`[^`]*[\u0080-\uffff]/.test(code))
    throw new Error("a character cannot be escaped");
  return code.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** isolated-vm's native module for this platform, as its own loader finds it. */
function nativeIsolates(): string {
  const requireThere = createRequire(join(root, "node_modules/isolated-vm/isolated-vm.js"));
  const loader = requireThere("node-gyp-build") as { path(folder: string): string };
  return loader.path(join(root, "node_modules/isolated-vm"));
}

async function bundleInto(folder: string, hasBytecode: boolean): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const program = await bundle("src/main.ts");
  writeFileSync(
    join(folder, "program.cjs"),
    `(function (require, __filename) {${toAscii(program.code)}\n})\n`,
  );
  // A thread needs its own file to start.
  writeFileSync(join(folder, "policy-thread.cjs"), (await bundle("src/app/policy-thread.ts")).code);
  const bcrypt = await bundle("plugins/auth/basic/bcrypt-program.ts");
  writeFileSync(join(folder, "bcrypt-program.cjs"), bcrypt.code);
  // The process of a plugin needs one as well.
  const child = await bundle("src/runtime/process/child/program.ts");
  writeFileSync(join(folder, "plugin-process.cjs"), child.code);
  const isolates = nativeIsolates();
  copyFileSync(isolates, join(folder, "isolated-vm.node"));
  const launcher = join(folder, "outrigger.cjs");
  writeFileSync(launcher, `#!/usr/bin/env node\n${(await bundle("deploy/launch.ts")).code}`);
  chmodSync(launcher, 0o755);
  writeFileSync(join(folder, "health.cjs"), (await bundle("deploy/health.ts")).code);
  writeFileSync(
    join(folder, "LICENSES-OF-OTHERS.txt"),
    licencesOf([...program.modules, ...bcrypt.modules, ...child.modules, isolates]),
  );
  writeFileSync(join(folder, "sbom.cdx.json"), sbomOf(root));
  rmSync(cacheOf(folder), { force: true });
  if (hasBytecode)
    execFileSync(process.execPath, [...nodeFlags, join(root, "deploy/code-cache.ts"), folder], {
      stdio: ["ignore", "ignore", "inherit"],
      timeout: 60_000,
    });
  process.stdout.write(`${folder}: ${program.modules.length} modules\n`);
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { bytecode: { type: "string", default: "on" } },
});
await bundleInto(resolve(positionals[0] ?? join(root, "dist")), values.bytecode !== "off");

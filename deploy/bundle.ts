// `npm run bundle`: the whole program as one file, for the image, with the licences of what went into it. It starts
// sooner and in less memory than the sources, and needs no node_modules. `node deploy/bundle.ts [folder]`
import { chmodSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";

const root = join(import.meta.dirname, "..");

/** Name, version and licence text of every package that these modules belong to. */
function licencesOf(modules: readonly string[]): string {
  const folders = modules.map((module) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(module)?.[0]);
  const texts = [...new Set(folders.filter((folder) => folder !== undefined))].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
      name: string;
      version: string;
      license: string;
    };
    const [file] = globSync("{licen[cs]e,LICEN[CS]E}*", { cwd: folder }).sort();
    const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8").trim();
    return `${name} ${version}, ${license}\n\n${text}`.trim();
  });
  return `${texts.join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}

async function bundleInto(folder: string): Promise<void> {
  const file = join(folder, "outrigger.mjs");
  const bundle = await rolldown({
    input: join(root, "src/main.ts"),
    platform: "node",
    // A warning is a module that would be missing in the image, or would mean something else there.
    onLog(level, log) {
      if (level === "warn") throw new Error(`${log.code}: ${log.message}`);
    },
  });
  const { output } = await bundle.write({ file, format: "esm", codeSplitting: false });
  await bundle.close();
  chmodSync(file, 0o755);
  const modules = output.flatMap((part) => (part.type === "chunk" ? part.moduleIds : []));
  writeFileSync(join(folder, "LICENSES-OF-OTHERS.txt"), licencesOf(modules));
  process.stdout.write(`${file}: ${modules.length} modules\n`);
}

await bundleInto(process.argv[2] ?? join(root, "dist"));

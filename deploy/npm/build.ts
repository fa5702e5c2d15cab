// `npm run build`: builds the npm package in build/: JavaScript and types compiled from the sources, its own
// package.json, and the licences of its dependencies. `npm run build -- --repository https://…` sets the repository,
// which npm compares with the signed statement of a build (provenance).
import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { noticeOf } from "./notice.ts";

const root = join(import.meta.dirname, "../..");

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

/** Further files for users of the package. */
const texts = [
  "README.md",
  "LICENSE",
  "plugins/**/*.md",
  "deploy/**/*.md",
  "deploy/demo/policy.yaml",
  "deploy/policies/*",
  "deploy/redis-acl.conf",
];

/** The oldest Node on which the tests of the package pass. */
const oldestNode = ">=22.18";

/** Maps a source such as `./src/app/embedded.ts` to its compiled files. */
function compiled(file: string): { types: string; default: string } {
  return { types: file.replace(/\.ts$/, ".d.ts"), default: file.replace(/\.ts$/, ".js") };
}

function packageJsonOf(source: PackageJson, repository: string | undefined): object {
  const { node: _, "isolated-vm": isolates, rolldown: _bundler, ...dependencies } = source.dependencies;
  const { name, version, description, license, devDependencies } = source;
  const exports = Object.entries(source.exports).map(([path, file]) => [path, compiled(file)] as const);
  return {
    name,
    version,
    description,
    license,
    keywords: ["sidecar", "proxy", "gateway", "policy", "redis"],
    ...(repository === undefined ? {} : { repository: { type: "git", url: `git+${repository}.git` } }),
    type: "module",
    bin: { outrigger: "src/main.js" },
    man: "man/outrigger.1",
    exports: {
      ...Object.fromEntries(exports),
      "./package.json": "./package.json",
      "./policy.schema.json": "./policy.schema.json",
    },
    main: compiled(source.exports["."] ?? "").default,
    types: compiled(source.exports["."] ?? "").types,
    files: ["src", "plugins", "deploy", "man", "policy.schema.json", "NOTICE"],
    engines: { node: oldestNode },
    dependencies,
    // A native module, needs Node 24: without it, WebAssembly filters run in threads.
    optionalDependencies: { "isolated-vm": isolates },
    // For authors of plugins: it packs plugins.
    peerDependencies: { rolldown: `^${devDependencies["rolldown"]}` },
    peerDependenciesMeta: { rolldown: { optional: true } },
    // `plugin init` writes these versions. npm installs none of them.
    devDependencies,
    publishConfig: { access: "public", ...(repository === undefined ? {} : { provenance: true }) },
  };
}

function outputOf(program: string, ...args: readonly string[]): string {
  return execFileSync(process.execPath, [join(root, program), ...args], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
}

function build(folder: string, repository: string | undefined): void {
  rmSync(folder, { recursive: true, force: true });
  const typescript = join(root, "node_modules/typescript/bin/tsc");
  const args = [typescript, "-p", join(import.meta.dirname, "tsconfig.json"), "--outDir", folder];
  execFileSync(process.execPath, args, { stdio: "inherit" });
  for (const file of texts.flatMap((pattern) => globSync(pattern, { cwd: root }))) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(root, file), join(folder, file));
  }
  const source = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as PackageJson;
  writeFileSync(
    join(folder, "package.json"),
    `${JSON.stringify(packageJsonOf(source, repository), null, 2)}\n`,
  );
  writeFileSync(join(folder, "NOTICE"), noticeOf(root));
  mkdirSync(join(folder, "man"));
  writeFileSync(join(folder, "man/outrigger.1"), outputOf("deploy/man.ts"));
  writeFileSync(join(folder, "policy.schema.json"), outputOf("src/main.ts", "policy", "schema"));
  process.stdout.write(`${folder}: ${source.name} ${source.version}\n`);
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { repository: { type: "string" } },
});
build(positionals[0] ?? join(root, "build"), values.repository?.replace(/\.git$/, ""));

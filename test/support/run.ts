// `npm test` runs this after lint and type check. It makes sure that the programs that tests need are installed, then
// runs every test file, or those whose path contains one of the given words: `npm test -- forward`.
import { execFileSync } from "node:child_process";
import { accessSync, constants, globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { bundleProgram } from "./bundle.ts";
import { groupFiles } from "./groups.ts";
import { provideNodes } from "./nodes.ts";
import { run } from "node:test";
import { spec } from "node:test/reporters";

interface Program {
  /** Environment variable that tells the tests, and users, the program's path. */
  readonly variable?: string;
  readonly names: readonly string[];
  /** Name of the Debian package. */
  readonly package: string;
  /** Further places besides PATH: a glob of folders. */
  readonly folders?: string;
  /** It is a file to read, not a program. */
  readonly isRead?: true;
  /** Where it cannot be installed, its tests are skipped, with a line that says so. */
  readonly optional?: true;
}

const programs: readonly Program[] = [
  {
    variable: "OUTRIGGER_TEST_REDIS_SERVER",
    names: ["redis-server", "valkey-server"],
    package: "redis-server",
  },
  { names: ["redis-cli"], package: "redis-tools" },
  {
    variable: "OUTRIGGER_TEST_CHROMIUM",
    names: ["chromium", "chromium-browser", "google-chrome"],
    package: "chromium",
  },
  { names: ["openssl"], package: "openssl" },
  { names: ["curl"], package: "curl" },
  // Gives commands a terminal.
  { names: ["script"], package: "bsdutils" },
  { names: ["postgres"], package: "postgresql", folders: "/usr/lib/postgresql/*/bin" },
  // Compiles WebAssembly guests from C.
  { names: ["clang"], package: "clang" },
  { names: ["wasm-ld"], package: "lld" },
  { names: ["promtool"], package: "prometheus" },
  { names: ["h2load"], package: "nghttp2-client", optional: true },
  // Network namespaces, and the redirection of ports in them.
  { names: ["ip"], package: "iproute2", folders: "/usr/sbin", optional: true },
  { names: ["nft"], package: "nftables", folders: "/usr/sbin", optional: true },
  // eBPF programs, which clang compiles, too.
  { names: ["make"], package: "make", optional: true },
  { names: ["libbpf.h"], package: "libbpf-dev", folders: "/usr/include/bpf", isRead: true, optional: true },
  // Builds the image without a daemon.
  { names: ["buildah"], package: "buildah", optional: true },
  // Renders the Kustomize component.
  { names: ["kubectl"], package: "kubernetes-client", optional: true },
];

const root = join(import.meta.dirname, "../..");
/** Of a process, which may run a group of files. */
const fileLimitMs = 360_000;
const runLimitMs = 1_500_000;

function isExecutable(path: string, mode = constants.X_OK): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function findProgram({ variable, names, folders: further, isRead }: Program): string | undefined {
  const named = variable === undefined ? undefined : process.env[variable];
  if (named) return isExecutable(named) ? named : undefined;
  const path = (process.env["PATH"] ?? "").split(delimiter);
  const folders = further === undefined ? path : [...path, ...globSync(further)];
  const files = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  return files.find((file) => isExecutable(file, isRead === true ? constants.R_OK : constants.X_OK));
}

const isMissing = (program: Program): boolean => findProgram(program) === undefined;

/** Installs Debian packages. @throws Error if apt-get fails */
function install(packages: readonly string[]): void {
  // Run level 1: a package that brings a service does not start it.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const apt = (args: readonly string[]): void =>
    void execFileSync("apt-get", ["-qq", "-o", "DPkg::Lock::Timeout=120", ...args], { env, stdio: "pipe" });
  process.stdout.write(`installing ${packages.join(", ")}\n`);
  apt(["update"]);
  apt(["install", "-y", "--no-install-recommends", ...packages]);
}

function isNamed({ variable }: Program): boolean {
  return variable !== undefined && Boolean(process.env[variable]);
}

/** @returns one line about what is still missing after all attempts; undefined if nothing is */
function providePrograms(): string | undefined {
  const wanted = programs.filter((program) => isMissing(program) && !isNamed(program));
  let trouble = "";
  if (wanted.length > 0 && process.getuid?.() === 0 && findProgram({ names: ["apt-get"], package: "apt" })) {
    try {
      install(wanted.map((program) => program.package));
    } catch (error) {
      trouble = `; apt-get: ${String((error as { stderr?: unknown }).stderr ?? error).split("\n")[0]}`;
    }
  }
  for (const program of programs) {
    const path = findProgram(program);
    if (path !== undefined && program.variable !== undefined) process.env[program.variable] = path;
  }
  const missing = programs.filter((program) => isMissing(program) && program.optional !== true);
  if (missing.length === 0) return undefined;
  const names = missing.map((program) => program.names.join(" or "));
  const variables = missing.flatMap(({ variable }) => variable ?? []);
  const named = variables.length === 0 ? "" : `, or name them in ${variables.join(", ")}`;
  const packages = missing.map((program) => program.package).join(" ");
  return `the tests need ${names.join(", ")}: install them (Debian: apt-get install ${packages})${named}${trouble}`;
}

function findFiles(words: readonly string[]): string[] {
  return globSync("test/**/*.test.ts", { cwd: root })
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
    .sort();
}

/**
 * Runs the files, each in a process of its own, and prints failures and node's closing counts.
 * @returns whether all tests of all files passed, and none left an unhandled rejection
 */
export async function runFiles(files: readonly string[], limitMs = fileLimitMs): Promise<boolean> {
  process.env["FILE_LIMIT_MS"] = String(limitMs);
  const events = run({
    files: files.map((file) => resolve(root, file)),
    cwd: root,
    // Two more than there are cores: the files spend half of their time waiting.
    concurrency: availableParallelism() + 2,
    execArgv: ["--import", join(import.meta.dirname, "file-limit.ts")],
    signal: AbortSignal.timeout(runLimitMs),
  });
  let ok = false;
  events.on("test:summary", ({ file, success }) => {
    if (file === undefined) ok = success;
  });
  const quiet = events.filter(({ type }: { type: string }) => type !== "test:pass" && type !== "test:start");
  for await (const text of quiet.compose(new spec())) process.stdout.write(text as string);
  return ok;
}

async function main(words: readonly string[]): Promise<number> {
  // Each file and each sidecar is a process that loads the same modules: the compile cache saves a third of the work.
  process.env["NODE_COMPILE_CACHE"] ??= join(root, "node_modules/.cache/compiled-tests");
  const files = findFiles(words);
  if (files.length === 0) {
    process.stderr.write(`no test file whose path holds ${words.join(" or ")}\n`);
    return 1;
  }
  const missing = providePrograms();
  if (missing !== undefined) {
    process.stderr.write(`${missing}\n`);
    return 1;
  }
  if (files.some((file) => file.includes("npm-package"))) provideNodes();
  // A few files are over before a bundle is built.
  if (words.length > 0) return (await runFiles(files)) ? 0 : 1;
  process.env["OUTRIGGER_TEST_PROGRAM"] ??= bundleProgram();
  return (await runFiles(groupFiles(files))) ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));

// What `npm test` runs after lint and type check. Sees to it that the programs which tests need are there, then runs
// every test file, or those whose path holds one of the words given: `npm test -- forward`.
import { execFileSync } from "node:child_process";
import { accessSync, constants, globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join, relative } from "node:path";
import { provideNodes } from "./nodes.ts";
import { run } from "node:test";
import { spec } from "node:test/reporters";

interface Program {
  /** The variable that names it for the tests, and for whoever runs them. */
  readonly variable?: string;
  readonly names: readonly string[];
  /** Debian's package. */
  readonly package: string;
  /** Where it is beside PATH: a glob of folders. */
  readonly folders?: string;
  /** A file that is read, and not run. */
  readonly isRead?: true;
  /** Its tests are skipped, with a line that says so, where it cannot be had. */
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
  // A terminal for commands to be looked at on.
  { names: ["script"], package: "bsdutils" },
  { names: ["postgres"], package: "postgresql", folders: "/usr/lib/postgresql/*/bin" },
  // Guests of WebAssembly are compiled from C.
  { names: ["clang"], package: "clang" },
  { names: ["wasm-ld"], package: "lld" },
  { names: ["promtool"], package: "prometheus" },
  { names: ["h2load"], package: "nghttp2-client", optional: true },
  // Networks of their own, and what takes a port there.
  { names: ["ip"], package: "iproute2", folders: "/usr/sbin", optional: true },
  { names: ["nft"], package: "nftables", folders: "/usr/sbin", optional: true },
  // Programs of eBPF: compiled by clang, too.
  { names: ["make"], package: "make", optional: true },
  { names: ["libbpf.h"], package: "libbpf-dev", folders: "/usr/include/bpf", isRead: true, optional: true },
  // Builds the image without a daemon.
  { names: ["buildah"], package: "buildah", optional: true },
  // Renders the Kustomize component.
  { names: ["kubectl"], package: "kubernetes-client", optional: true },
];

const root = join(import.meta.dirname, "../..");
const fileLimitMs = 180_000;
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

/** Tries Debian's packages; says nothing unless apt does. */
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

/** @returns what is still missing once everything was tried, as one line; undefined when nothing is */
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
 * Runs the files, a process each, and prints what failed and node's closing counts.
 * @returns whether all tests of all files passed, and none left a rejection behind
 */
export async function runFiles(files: readonly string[], limitMs = fileLimitMs): Promise<boolean> {
  process.env["FILE_LIMIT_MS"] = String(limitMs);
  // Each file and each sidecar is a process that reads the same modules: compiled once, a third of the work is gone.
  process.env["NODE_COMPILE_CACHE"] ??= join(root, "node_modules/.cache/compiled-tests");
  const events = run({
    files: files.map((file) => join(root, relative(root, file))),
    cwd: root,
    // Half of their time goes into waiting.
    concurrency: availableParallelism() + 1,
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
  return (await runFiles(files)) ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));

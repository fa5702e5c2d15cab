// Builds the command that starts a plugin's process with no more rights than its bundle needs. See child/shut.ts for
// the rights that the process itself gives up.
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { isSingleExecutable, pluginProcessWord } from "../../v8/single-executable.ts";

export interface ProcessCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** Why the process is less isolated here than it could be; undefined = it is fully isolated. */
  readonly warning: string | undefined;
}

/**
 * `.ts` when run from source, `.js` when compiled, `.cjs` where the sidecar is bundled into one file. A bundled sidecar
 * has the child's program as a file beside it.
 */
const form = extname(import.meta.url);
const isOneFile = form === ".cjs";
const ownProgram = fileURLToPath(
  new URL(isOneFile ? "plugin-process.cjs" : `child/program${form}`, import.meta.url),
);

/**
 * The UID range that systemd reserves for services without a user of their own: no other program runs as one of them.
 */
const firstUser = 61_184;
const users = 4_336;

/**
 * @param memoryMiB limit of V8's old generation
 * @param sha256 of the package; where the sidecar is root, it selects the user that the process runs as
 * @param bundled the child's program in one file; default: the sidecar's own
 */
export function processCommand(memoryMiB: number, sha256: string, bundled?: string): ProcessCommand {
  const user =
    process.getuid?.() === 0 ? firstUser + (Number.parseInt(sha256.slice(0, 8), 16) % users) : undefined;
  const childProgram = bundled ?? ownProgram;
  const files = bundled === undefined ? readableFiles() : [bundled];
  const isWithin = isSingleExecutable && bundled === undefined;
  const isOpen = [process.execPath, ...(isWithin ? [] : [childProgram, ...files])].every(isReadableByAll);
  const setpriv = programAt("setpriv");
  const kept = user === undefined ? undefined : whyTheSameUser(isOpen, setpriv);
  const canChangeUser = user !== undefined && kept === undefined;
  const node = isWithin
    ? [process.execPath, `--node-options=${nodeArguments(memoryMiB, []).join(" ")}`, pluginProcessWord]
    : [process.execPath, ...nodeArguments(memoryMiB, files), childProgram];
  const [program = "", ...args] = [
    ...limited(),
    ...deprived(setpriv, canChangeUser ? user : undefined),
    ...node,
  ];
  const warning =
    kept === undefined ? undefined : `it runs as root, kept by Node's permissions alone: ${kept}`;
  return { program, args, warning };
}

/** @returns why the process cannot run as a user other than root; undefined = it can */
function whyTheSameUser(isOpen: boolean, setpriv: string | undefined): string | undefined {
  if (setpriv === undefined) return "there is no setpriv";
  if (!isOpen) return "no other user may read the sidecar's program";
  // CAP_SETGID, CAP_SETUID and CAP_SETPCAP of capabilities(7).
  const needed = (1n << 6n) | (1n << 7n) | (1n << 8n);
  return (effectiveCapabilities() & needed) === needed ? undefined : "root has no right to change users here";
}

function effectiveCapabilities(): bigint {
  try {
    const [, bits = "0"] = /^CapEff:\t([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1")) ?? [];
    return BigInt(`0x${bits}`);
  } catch {
    return 0n;
  }
}

function nodeArguments(memoryMiB: number, files: readonly string[]): string[] {
  return [
    "--permission",
    ...files.map((file) => `--allow-fs-read=${file}`),
    `--max-old-space-size=${memoryMiB}`,
    "--max-semi-space-size=1",
    // Garbage collection of a heap that keeps growing must not take the sidecar's cores.
    "--v8-pool-size=1",
    "--disallow-code-generation-from-strings",
    "--disable-sigusr1",
    "--no-addons",
    "--no-warnings",
  ];
}

/** No core dump, no file writes, few file descriptors. */
function limited(): string[] {
  const prlimit = programAt("prlimit");
  return prlimit === undefined ? [] : [prlimit, "--core=0", "--fsize=0", "--nofile=64:64"];
}

/** The process dies with the sidecar even in an endless loop, and cannot gain privileges from a file (setuid). */
function deprived(setpriv: string | undefined, user: number | undefined): string[] {
  if (setpriv === undefined) return [];
  const args = [setpriv, "--pdeathsig", "KILL", "--no-new-privs"];
  if (user === undefined) return [...args, "--"];
  return [...args, "--bounding-set=-all", "--clear-groups", `--reuid=${user}`, `--regid=${user}`, "--"];
}

function programAt(name: string): string | undefined {
  return [`/usr/bin/${name}`, `/bin/${name}`].find((path) => existsSync(path));
}

/** The files of the child's program. The child gives up reading them before it takes the bundle. */
function readableFiles(): string[] {
  if (isOneFile) return [ownProgram];
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  const require = createRequire(import.meta.url);
  const packages = ["zod", "ipaddr.js", "lru-cache"].map((name) => {
    const path = require.resolve(name);
    const end = path.lastIndexOf(join("node_modules", name) + sep) + join("node_modules", name).length;
    return path.slice(0, end);
  });
  return [join(root, "src"), join(root, "package.json"), ...packages];
}

/** Whether every user may read the file, the permissions of the folders above it included. */
function isReadableByAll(path: string): boolean {
  try {
    for (let at = path, bits = 0o4; ; at = dirname(at), bits = 0o1) {
      if ((statSync(at).mode & bits) === 0) return false;
      if (at === dirname(at)) return true;
    }
  } catch {
    return false;
  }
}

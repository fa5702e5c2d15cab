// Describes the machine: its cores, which process runs on which of them, and which programs are installed.
import { spawnSync } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { delimiter, join } from "node:path";

/** Lists of cores as taskset takes them; undefined = not pinned. */
export interface Cores {
  readonly contender: string | undefined;
  readonly load: string | undefined;
  readonly all: string | undefined;
}

/** Debian's servers live in sbin, which is not on every user's PATH. */
const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];

export function findProgram(name: string): string | undefined {
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Finds a program on PATH. For root it is installed from the Debian package of the same name if there is apt-get. */
export function obtainProgram(name: string): string | undefined {
  const found = findProgram(name);
  const aptGet = findProgram("apt-get");
  if (found !== undefined || aptGet === undefined || process.getuid?.() !== 0) return found;
  process.stderr.write(`${name} is not installed: apt-get install ${name}\n`);
  const install = (): boolean =>
    spawnSync(aptGet, ["install", "-y", "--no-install-recommends", name], {
      // Runlevel 1: Debian's packages then do not start the server they bring.
      env: { PATH: folders.join(delimiter), DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" },
      stdio: "ignore",
      timeout: 180_000,
    }).status === 0;
  if (!install()) {
    spawnSync(aptGet, ["update"], { stdio: "ignore", timeout: 180_000 });
    install();
  }
  return findProgram(name);
}

/**
 * Gives one core to the contender, and another one to load and upstream; this process and its children move to the
 * latter.
 */
export function divideCores(): Cores {
  const list = /^Cpus_allowed_list:\s*(\S+)/mu.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
  const [first, second] = list.split(",").flatMap((range) => {
    const [from = 0, to = from] = range.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
  if (second === undefined || findProgram("taskset") === undefined) {
    return { contender: undefined, load: undefined, all: undefined };
  }
  spawnSync("taskset", ["-acp", String(second), String(process.pid)], { stdio: "ignore" });
  return { contender: String(first), load: String(second), all: list };
}

export function cpuModel(): string {
  return `${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${cpus().length} cores`;
}

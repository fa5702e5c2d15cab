// Reads the Dockerfile as instructions, and builds the image that it describes as a folder. Tests have no container
// engine, so this file executes the COPY and RUN lines itself.
import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

export const root = join(import.meta.dirname, "../..");

export interface Instruction {
  readonly name: string;
  /** Text behind the instruction's name, with continuation lines joined. */
  readonly text: string;
}

/** @returns the instructions without comments */
export function readDockerfile(): Instruction[] {
  const lines = readFileSync(join(root, "Dockerfile"), "utf8")
    .replace(/^#.*\n/gm, "")
    .replace(/\\\n\s*/g, "");
  return lines
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, name = "", text = ""] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
      return { name, text };
    });
}

/** @returns the instructions of each stage; each stage begins with its FROM */
export function stagesOf(instructions: readonly Instruction[]): Instruction[][] {
  const stages: Instruction[][] = [];
  for (const instruction of instructions) {
    if (instruction.name === "FROM") stages.push([]);
    stages.at(-1)?.push(instruction);
  }
  return stages;
}

export interface Copy {
  readonly from: string | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

export function parseCopy(text: string): Copy {
  const words = text.split(/\s+/);
  const from = words.find((word) => word.startsWith("--from="))?.slice("--from=".length);
  const paths = words.filter((word) => !word.startsWith("--"));
  return { from, sources: paths.slice(0, -1), target: paths.at(-1) ?? "" };
}

/** @returns the command that starts the sidecar, once the content of the image's /app is in this folder */
export function entrypointIn(folder: string): string[] {
  const { text = "[]" } = readDockerfile().findLast(({ name }) => name === "ENTRYPOINT") ?? {};
  return (JSON.parse(text) as string[]).map((word) => word.replace(/^\/app\//, `${folder}/`));
}

/** Whether .dockerignore lets this path of the repository into the build: the last matching line decides. */
export function isSentToBuild(path: string): boolean {
  const lines = readFileSync(join(root, ".dockerignore"), "utf8").split("\n");
  let sent = true;
  for (const line of lines.filter((text) => text !== "" && !text.startsWith("#"))) {
    const pattern = line.replace(/^!/, "");
    if (pattern === "*" || `${path}/`.startsWith(`${pattern}/`)) sent = line.startsWith("!");
  }
  return sent;
}

function copyInto(folder: string, { sources, target }: Copy, locate: (source: string) => string): void {
  for (const source of sources) {
    // COPY copies the content of a folder, but a file under its own name.
    const isFolder = source.endsWith("/") || globSync(`${locate(source)}/*`).length > 0;
    const to = isFolder ? join(folder, target) : join(folder, target, basename(source));
    mkdirSync(dirname(to), { recursive: true });
    cpSync(locate(source), to, { recursive: true });
  }
}

/** @returns a folder with the content of the image's /app; the caller removes it */
export function buildImage(): string {
  const [build = [], final = []] = stagesOf(readDockerfile());
  const top = mkdtempSync(join(tmpdir(), "outrigger-image-"));
  const workplace = join(top, "build");
  mkdirSync(workplace);
  for (const { name, text } of build) {
    if (name === "COPY") copyInto(workplace, parseCopy(text), (source) => join(root, source));
    if (name !== "RUN") continue;
    // Stands in for `npm ci`: the packages are installed already.
    if (/^npm ci\b/.test(text)) symlinkSync(join(root, "node_modules"), join(workplace, "node_modules"));
    else
      execFileSync("sh", ["-ec", text], {
        cwd: workplace,
        stdio: "pipe",
        env: { PATH: process.env["PATH"] },
      });
  }
  const app = join(top, "app");
  mkdirSync(app);
  for (const { name, text } of final) {
    if (name !== "COPY") continue;
    const copy = parseCopy(text);
    copyInto(app, copy, (source) =>
      copy.from === undefined ? join(root, source) : join(top, source.replace(/^\//, "")),
    );
  }
  return top;
}

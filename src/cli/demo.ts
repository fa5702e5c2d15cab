// Runs `outrigger demo`: starts deploy/demo/ as a process of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Terminal } from "./terminal.ts";

/** @returns the exit code */
export async function runDemo(terminal: Terminal): Promise<number> {
  const program = fileURLToPath(new URL(`../../deploy/demo/run${extname(import.meta.url)}`, import.meta.url));
  if (!existsSync(program)) {
    terminal.err("the demo is not in the image: npm run demo in a checkout\n");
    return 1;
  }
  const child = spawn(process.execPath, [program], { stdio: "inherit" });
  // A terminal sends Ctrl-C to both processes: the demo ends by it, and this process ends after the demo.
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on("SIGINT", () => {}).on("SIGTERM", pass);
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 1;
}

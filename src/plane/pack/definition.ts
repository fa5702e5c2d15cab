// Asks a bundled plugin for its definition, in a process that can be ended and may only read files.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { z } from "zod";
import { PackError } from "./pack-error.ts";

const limitMs = 15_000;
const answer = z.union([
  z.object({ said: z.record(z.string(), z.unknown()) }),
  z.object({ problem: z.string() }),
]);

/** @returns members of a manifest, unchecked. Rejects with PackError */
export async function definitionOf(bundle: Buffer): Promise<Readonly<Record<string, unknown>>> {
  const folder = await mkdtemp(join(tmpdir(), "outrigger-pack-"));
  try {
    const file = join(folder, "plugin.cjs");
    await writeFile(file, bundle);
    return await asked(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function asked(file: string): Promise<Readonly<Record<string, unknown>>> {
  const child = fork(new URL(`describe${extname(import.meta.url)}`, import.meta.url), [file], {
    execArgv: ["--permission", "--allow-fs-read=*", "--max-old-space-size=256"],
    env: {},
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "json",
  });
  const limit = AbortSignal.timeout(limitMs);
  const ended = once(child, "exit");
  try {
    const message = await Promise.race([
      once(child, "message", { signal: limit }).then(([first]: unknown[]) => first),
      ended.then(([code]: unknown[]) => ({ problem: `it ended the process with ${String(code)}` })),
    ]);
    const told = answer.safeParse(message);
    if (!told.success) throw new PackError("the plugin cannot be loaded: it answers rubbish");
    if ("problem" in told.data) throw new PackError(`the plugin cannot be loaded: ${told.data.problem}`);
    return told.data.said;
  } catch (error) {
    if (error instanceof PackError) throw error;
    throw new PackError(`the plugin cannot be loaded: it takes more than ${limitMs} ms`);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

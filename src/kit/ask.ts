// Starts the process that runs an author's code, forwards its answers, and kills it when it is done or over the time
// limit.
import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Manifest, RuntimeName } from "../extensions/manifest.ts";
import type { Finding } from "./finding.ts";

export type Cost = NonNullable<Manifest["cost"]>;

export type Answer =
  | { readonly finding: Finding }
  | { readonly name: string; readonly version: string; readonly cost: Cost }
  | { readonly problem: string }
  | { readonly done: true };

export interface Question {
  readonly what: "test" | "bench";
  readonly path: string;
  readonly runtime: RuntimeName | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onAnswer: (answer: Answer) => void;
}

const limitMs = 120_000;

/** Resolves when the process reports that it is done. Rejects with an Error whose message is for the author. */
export async function ask({ what, path, runtime, env, onAnswer }: Question): Promise<void> {
  const program = fileURLToPath(new URL(`process/program${extname(import.meta.url)}`, import.meta.url));
  // The image contains only what sidecars need, not the tools for authors.
  if (!existsSync(program))
    throw new Error("this is not in the image: run it from npm's package, or a checkout");
  const { NODE_TEST_CONTEXT: _, ...rest } = env;
  const child = fork(program, [what, path, ...(runtime === undefined ? [] : ["--runtime", runtime])], {
    execArgv: [],
    env: rest,
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error(`took longer than ${limitMs / 1000} s`)), limitMs);
  child.on("message", (answer: Answer) => {
    if ("problem" in answer) reject(new Error(answer.problem));
    else if ("done" in answer) resolve();
    else onAnswer(answer);
  });
  child.once("exit", (code, signal) =>
    reject(new Error(`the process that runs the plugin ended with ${signal ?? code}`)),
  );
  child.once("error", reject);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
  }
}

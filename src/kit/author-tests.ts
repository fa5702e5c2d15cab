// Runs the author's own tests in the plugin's folder with `node --test`.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { bad, type Finding, good } from "./finding.ts";

const limitMs = 60_000;
/** How many characters of failing tests' output are shown. */
const maxShown = 4_000;

export async function authorFinding(
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Finding> {
  if (!(await stat(folder).catch(() => undefined))?.isDirectory())
    return bad("tests", "there is no such folder");
  // When this runs under a test runner, the child would report to that run.
  const { NODE_TEST_CONTEXT: _, ...rest } = env;
  const child = spawn(process.execPath, ["--test", "--test-reporter=spec"], {
    cwd: folder,
    env: rest,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close") as Promise<[number | null]>,
  ]);
  const count = (what: string): number =>
    Number(new RegExp(`^ℹ ${what} (\\d+)$`, "m").exec(stdout)?.[1] ?? 0);
  if (code === null) return bad("tests", `did not end within ${limitMs / 1000} s`);
  if (code !== 0) return bad("tests", `${count("fail")} failed\n${`${stdout}${stderr}`.slice(-maxShown)}`);
  if (count("pass") === 0) return bad("tests", "there are none: write index.test.ts, for `node --test`");
  return good("tests", `${count("pass")} passed`);
}

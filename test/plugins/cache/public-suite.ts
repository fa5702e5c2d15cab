// Runs the public HTTP caching test suite (npm http-cache-tests; cache-tests.fyi) through a sidecar with the cache on.
// `node test/plugins/cache/public-suite.ts [--suite DIR] [--all]`: DIR is a check-out of a newer suite.
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { startSidecar } from "../../support/sidecar.ts";

interface SuiteTest {
  readonly id: string;
  readonly name: string;
  readonly kind?: "required" | "optimal" | "check";
  /** For caches in browsers alone. */
  readonly browser_only?: boolean;
}

export interface SuiteResult {
  readonly id: string;
  readonly kind: "required" | "optimal" | "check";
  readonly passed: boolean;
  /** Why it did not pass, in the suite's words. */
  readonly reason: string;
}

type Runner = {
  runTests(...args: unknown[]): Promise<void>;
  getResults(): Record<string, true | readonly [string, string]>;
};

const installed = join(import.meta.dirname, "../../../node_modules/http-cache-tests");

/** @param directory where the suite is; the newer layout has its client and server in test-engine/ */
export async function runPublicSuite(directory = installed): Promise<SuiteResult[]> {
  const engine = existsSync(join(directory, "test-engine")) ? join(directory, "test-engine") : directory;
  const server = await startSuiteServer(engine);
  const sidecar = await startSidecar({
    upstream: server.url,
    policy: { plugins: ["logging", "cache"] },
  });
  try {
    const { default: suites } = (await load(join(directory, "tests/index.mjs"))) as {
      default: { tests: SuiteTest[] }[];
    };
    const runner = (await load(join(engine, "client/runner.mjs"))) as Runner;
    // The older client is given its fetch: node-fetch, because the built-in one adds no-cache of its own here.
    const older: unknown[] =
      engine === directory ? [createRequire(join(engine, "cli.mjs"))("node-fetch")] : [];
    const base = [...older, false, sidecar.url];
    await runner.runTests(suites, ...base, 100);
    const results = runner.getResults();
    return suites
      .flatMap(({ tests }) => tests)
      .filter((test) => test.browser_only !== true)
      .map(({ id, kind = "required" }) => {
        const result = results[id];
        const passed = result === true;
        return { id, kind, passed, reason: passed || result === undefined ? "" : result.join(": ") };
      });
  } finally {
    await sidecar.stop();
    server.stop();
  }
}

function load(path: string): Promise<unknown> {
  return import(pathToFileURL(path).href);
}

async function startSuiteServer(engine: string): Promise<{ url: string; stop(): void }> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-suite-"));
  const child: ChildProcess = spawn(process.execPath, ["--no-warnings", join(engine, "server/server.mjs")], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, npm_config_protocol: "http", npm_config_port: "0", npm_config_pidfile: "pid" },
  });
  const port = await new Promise<string>((found, failed) => {
    child.once("exit", () => failed(new Error("the suite's server ended")));
    child.stdout?.on("data", (bytes: Buffer) => {
      const match = /Listening on .*:(\d+)\//.exec(bytes.toString());
      if (match?.[1] !== undefined) found(match[1]);
    });
  });
  return {
    url: `http://127.0.0.1:${port}`,
    stop() {
      child.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function summary(results: readonly SuiteResult[]): string {
  const lines: string[] = [];
  for (const kind of ["required", "optimal"] as const) {
    const those = results.filter((result) => result.kind === kind);
    const missed = those.filter((result) => !result.passed);
    lines.push(`${kind} passed ${those.length - missed.length} of ${those.length}`);
    for (const { id, reason } of missed) lines.push(`  ${id}: ${reason}`);
  }
  return lines.join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { suite: { type: "string" }, all: { type: "boolean" } } });
  const results = await runPublicSuite(values.suite === undefined ? installed : resolve(values.suite));
  console.log(summary(results));
  if (values.all === true) {
    for (const { id, passed } of results.filter(({ kind }) => kind === "check")) {
      console.log(`check ${passed ? "yes" : "no "} ${id}`);
    }
  }
}

// A plugin in a process of its own that throws where nothing can catch it, or blocks its event loop.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startService } from "../support/crew.ts";
import { startNode, type Started } from "../support/process.ts";
import { eventually } from "../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-plugin-faults-"));
const service = await startService((_request, response) => response.end("served"));
after(() => {
  service.close();
  service.closeAllConnections();
  rmSync(folder, { recursive: true });
});

const url = (path: string): string => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);

interface Running {
  readonly started: Started;
  readonly url: string;
  readonly metrics: () => Promise<string>;
}

/** Starts a sidecar with one more plugin, `shaky`, whose set-up the text gives. */
async function start(failMode: "open" | "closed", setup: string): Promise<Running> {
  const policy = join(folder, `${failMode}.json`);
  writeFileSync(policy, JSON.stringify({ apiVersion: "outrigger/v1", plugins: ["shaky"] }));
  const source = `
    import { z } from ${url("node_modules/zod/index.js")};
    import { run } from ${url("src/cli/run.ts")};
    import { startSidecar } from ${url("src/app/sidecar.ts")};
    const shaky = {
      name: "shaky", version: "1.2.0", apiVersion: 1, priority: 30, security: false, failMode: "${failMode}",
      options: z.strictObject({}),
      setup() { ${setup} },
    };
    process.exit(await run(process.env, (config) => startSidecar(config, { registry: [shaky] })));`;
  const started = startNode(["--input-type=module", "-e", source], {
    OUTRIGGER_LISTEN: "127.0.0.1:0",
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_UPSTREAM: service.url,
    OUTRIGGER_POLICY_FILE: policy,
  });
  const [, address, admin] = /"address":"([^"]+)","admin":"([^"]+)"/.exec(
    await started.said('"msg":"listening"'),
  ) as unknown as [string, string, string];
  return {
    started,
    url: `http://${address}`,
    metrics: async () => await (await fetch(`http://${admin}/metrics`)).text(),
  };
}

const throwing = `setInterval(() => { throw new Error("out of the blue"); }, 1);
  return { onResponse(_exchange, response) { response.fields.set("X-Shaky", "was here"); } };`;
const isQuarantined = /^outrigger_plugin_quarantined\{.*plugin="shaky",version="1\.2\.0".*\} 1$/m;

test("a plugin whose timer always throws is quarantined, and the process goes on without it", async () => {
  const { started, url, metrics } = await start("open", throwing);
  await eventually("the plugin is in quarantine", async () => isQuarantined.test(await metrics()));
  const answer = await fetch(url);
  assert.deepEqual([answer.status, answer.headers.get("x-shaky")], [200, null]);
  started.child.kill("SIGTERM");
  const { code, stdout, stderr } = await started.end;
  assert.equal(code, 0);
  const linesOf = (text: string) => text.split("\n").filter((line) => line.includes("out of the blue"));
  const blamed = linesOf(stdout);
  // A slow start leaves the timer time to throw before there is a log: those are told on stderr.
  assert.equal(blamed.length + linesOf(stderr).length, 10, "a line each, until it is quarantined");
  assert.ok(blamed.length > 0 && blamed.every((line) => line.includes('"plugin":"shaky"')));
});

test("one that fails closed goes on being asked: its hooks may be sound", async () => {
  const { started, url, metrics } = await start("closed", throwing);
  await eventually("the plugin is in quarantine", async () => isQuarantined.test(await metrics()));
  const answer = await fetch(url);
  assert.deepEqual([answer.status, answer.headers.get("x-shaky")], [200, "was here"]);
  started.child.kill("SIGTERM");
  assert.equal((await started.end).code, 0);
});

test("what a hook's work throws later is its plugin's, too", async () => {
  const { started, url } = await start(
    "open",
    `return { async onRequest() { await null; setImmediate(() => { throw new Error("after the hook"); }); } };`,
  );
  for (let i = 0; i < 20; i += 1) assert.equal((await fetch(url)).status, 200);
  started.child.kill("SIGTERM");
  const { code, stdout } = await started.end;
  assert.equal(code, 0);
  const line = stdout.split("\n").find((each) => each.includes("after the hook"));
  assert.match(line ?? "", /"plugin":"shaky"/);
});

test("a hook that stops the event loop is named once the loop turns again", async () => {
  const { started, url, metrics } = await start(
    "open",
    `return { onRequest() { const end = performance.now() + 1_600; while (performance.now() < end); } };`,
  );
  await fetch(url);
  const text = await started.said('"the event loop stalled"');
  const line = JSON.parse(
    text.split("\n").find((each) => each.includes("event loop stalled")) ?? "",
  ) as Record<string, unknown>;
  assert.equal(line["by"], "shaky.onRequest");
  assert.ok((line["stalledMs"] as number) > 1_000);
  assert.match(await metrics(), /^outrigger_event_loop_stall_seconds_count\{.*\} 1$/m);
  started.child.kill("SIGTERM");
  await started.end;
});

test("a process that was stopped from outside blames nobody in it", async () => {
  const { started } = await start("open", "return {};");
  started.child.kill("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 2_000)); // the stop itself is what is tested
  started.child.kill("SIGCONT");
  const text = await started.said('"the event loop stalled"');
  assert.match(text, /"by":"others: this process got no CPU or waited for the system"/);
  started.child.kill("SIGTERM");
  await started.end;
});

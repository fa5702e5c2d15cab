// The author's kit: from nothing to a plugin in every sidecar, with the commands of plugins/README.md; and what it
// reports about faulty plugins.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { outrigger } from "../support/process.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "outrigger-kit-"));
const run = promisify(execFile);
let redis: RedisServer;
let sidecar: TestSidecar;
before(async () => {
  redis = await startRedis();
  sidecar = await startSidecar({
    redisUrl: redis.url,
    upstream: (_request, response) => void response.end("service"),
  });
  process.chdir(folder);
});
after(async () => {
  await sidecar.stop();
  await redis.close();
  process.chdir(root);
  rmSync(folder, { recursive: true });
});

/** Runs a line of the README as a shell would, in the folder. Fails, with all that it said, when it ends badly. */
async function type(line: string): Promise<string> {
  const [command = "", ...args] = line.split(" ");
  if (command !== "outrigger") return (await run(command, args)).stdout;
  const env = { PATH: process.env["PATH"] ?? "", REDIS_URL: redis.url };
  const { code, stdout, stderr } = await outrigger(args, env);
  assert.equal(code, 0, `${line}\n${stdout}${stderr}`);
  return stdout;
}

test("five minutes of an author, as the README has them", async () => {
  const readme = readFileSync(join(root, "plugins/README.md"), "utf8");
  const block = /<!-- run: kit -->\n```sh\n([^]*?)```/.exec(readme)?.[1] ?? "";
  const lines = block
    .trim()
    .split("\n")
    .map((line) => line.split(/ +# /)[0] ?? "");
  assert.equal(lines.length, 7);
  const said = new Map<string, string>();
  for (const line of lines) {
    const here = line.replace("curl -i http://127.0.0.1:8080/", `curl -sSi ${sidecar.url}/`);
    said.set(line.split(" ").slice(0, 3).join(" "), await type(here));
  }
  const findings = said.get("outrigger plugin test") ?? "";
  for (const what of [
    "onRequest throws",
    "onResponse hangs",
    "10 clients gone",
    "store down",
    "service down",
  ])
    assert.match(findings, new RegExp(`^ok +${what} `, "m"));
  assert.match(findings, /^ok +tests +3 passed$/m);
  assert.match(findings, /^ok +everything is closed +(\d+) set up, \1 closed; 1 begun, 1 ended$/m);
  assert.match(findings, /^\d+ ok, 0 failed\n$/m);
  const { cost, description } = JSON.parse(readFileSync(join(folder, "hello/manifest.json"), "utf8")) as {
    cost: { micros: number; bytes: number; measuredWith: string };
    description: string;
  };
  assert.ok(cost.micros >= 0 && cost.micros < 100_000 && cost.bytes < 100_000, JSON.stringify(cost));
  assert.match(`${cost.measuredWith} ${description}`, /^process, Node \d.* Greets whoever asks\.$/);
  assert.match(
    said.get("curl -i http://127.0.0.1:8080/") ?? "",
    /^HTTP\/1\.1 200 [^]*\nX-Greeting: good morning\r\n/i,
  );
});

test("a proxy-wasm filter builds, passes its tests and stands its faults, too", async () => {
  const path = join(folder, "filter");
  assert.match(
    await type("outrigger plugin init filter --kind wasm"),
    /^next: cd filter && npm run build && npm test$/m,
  );
  await run("npm", ["run", "build"], { cwd: path });
  const { code, stdout } = await outrigger(["plugin", "test", path], { PATH: process.env["PATH"] ?? "" });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^ok +tests +2 passed$/m);
  assert.match(stdout, /^ok +onResponse hangs /m);
});

test("init takes no name that policies cannot have, and writes nothing over", async () => {
  assert.equal((await outrigger(["plugin", "init", "Hello!", "--in", join(folder, "x")])).code, 2);
  assert.equal((await outrigger(["plugin", "init", "cache", "--in", join(folder, "x")])).code, 2);
  const again = await outrigger(["plugin", "init", "hello", "--in", join(folder, "hello")]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /is not empty, and nothing is written over\n$/);
});

test("init begins where whoever asks stands, with the Node that runs it", async () => {
  const env = { npm_lifecycle_event: "outrigger", INIT_CWD: join(folder, "elsewhere") };
  const { code, stdout, stderr } = await outrigger(["plugin", "init", "stood"], env);
  assert.equal(code, 0, stderr);
  const made = join(folder, "elsewhere/stood");
  assert.ok(stdout.endsWith(`next: cd ${made} && npm test\n`), stdout);
  assert.equal(
    (await run(join(made, "node_modules/.bin/node"), ["--version"])).stdout.trim(),
    process.version,
  );
  const reserved = await outrigger(["plugin", "init", "policy", "--in", join(folder, "x")]);
  assert.equal(reserved.code, 2);
  assert.match(reserved.stderr, /"policy" is no name: it is reserved: the plugin's metrics could pass for/);
});

const unsound = `
import { definePlugin, z } from "outrigger/plugin";
let sets = 0;
export const plugin = definePlugin({
  name: "unsound", version: "0.1.0", apiVersion: 1, priority: 50, security: false, failMode: "open",
  options: z.strictObject({ word: z.string().default("x") }),
  setup({ services }) {
    return {
      async onRequest() {
        if (services.store === undefined) return undefined;
        try {
          await services.store.get("word");
          return undefined;
        } catch {
          return { action: "respond", status: 500, fields: [], body: "" };
        }
      },
    };
  },
});
`;

test("what is wrong with a plugin is said: rules, README, tests, a store that is down", async () => {
  const path = join(folder, "unsound");
  await outrigger(["plugin", "init", "unsound", "--in", path]);
  writeFileSync(join(path, "index.ts"), unsound);
  rmSync(join(path, "index.test.ts"));
  writeFileSync(join(path, "manifest.json"), "{}");
  writeFileSync(join(path, "example.json"), "{}");
  const { code, stdout } = await outrigger(["plugin", "test", path, "--runtime", "trusted", "--json"], {
    PATH: process.env["PATH"] ?? "",
  });
  assert.equal(code, 1, stdout);
  const { ok, findings } = JSON.parse(stdout) as {
    ok: boolean;
    findings: { what: string; state: string; detail: string }[];
  };
  assert.equal(ok, false);
  const wrong = findings
    .filter(({ state }) => state === "fail")
    .map(({ what, detail }) => `${what}: ${detail.split("\n")[0]}`);
  assert.deepEqual(wrong, [
    "rules: options.word: has no description",
    "rules: priority: 50 is that of transform, which is built in",
    'README.md: its section "## Options" does not have the table of the options, which is:',
    "store down: 500; 200 was to come: it fails open",
    "store silent: 500; 200 was to come: it fails open",
    "tests: there are none: write index.test.ts, for `node --test`",
  ]);
});

test("what cannot be loaded is said in one line, and nothing is measured", async () => {
  const path = join(folder, "broken");
  await outrigger(["plugin", "init", "broken", "--in", path]);
  writeFileSync(join(path, "index.ts"), "throw new Error('no');");
  const { code, stderr, stdout } = await outrigger(["plugin", "bench", path], {
    PATH: process.env["PATH"] ?? "",
  });
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, /^the plugin cannot be loaded: .*no\n$/);
  writeFileSync(join(path, "index.ts"), "const x = ;");
  const packed = await outrigger(["plugin", "pack", path]);
  assert.equal(packed.code, 1);
  assert.match(packed.stderr, /^the code cannot be bundled: [^?]*\n[^?]*index\.ts:1:11[^?]*$/);
});

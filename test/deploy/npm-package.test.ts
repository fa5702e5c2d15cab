// The npm package: built, packed, installed in an empty folder, and used there, on each available version of Node.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { hash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { bundleExtension, pluginCode } from "../support/extensions.ts";
import { nodes } from "../support/nodes.ts";
import { eventually } from "../support/redis.ts";
import { cGuest } from "../support/wasm/guests.ts";

const root = join(import.meta.dirname, "../..");
const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "outrigger-npm-"));
const installed = join(folder, "node_modules/outrigger");
const command = join(folder, "node_modules/.bin/outrigger");

before(async () => {
  execFileSync(process.execPath, [join(root, "deploy/npm/build.ts"), join(folder, "build")], {
    stdio: "pipe",
  });
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  await run("npm", ["pack", "./build", "--silent"], { cwd: folder });
  const [tarball = ""] = execFileSync("sh", ["-c", "ls *.tgz"], { cwd: folder, encoding: "utf8" }).split(
    "\n",
  );
  const options = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"];
  await run("npm", ["install", ...options, `./${tarball}`], { cwd: folder });
});
after(() => rmSync(folder, { recursive: true }));

/** What a program of somebody's does with it: embeds it, with plugins of each kind, and a policy that a thread reads. */
const embedding = `
import { createServer } from "node:http";
import { once } from "node:events";
import { createSidecar, ConfigError, version } from "outrigger";
import { definePlugin, z } from "outrigger/plugin";
import { setUpPlugin } from "outrigger/plugin/testing";
import { policy, extensions } from "./given.js";

const plugin = definePlugin({
  name: "own", version: "1.0.0", apiVersion: 1, priority: 31, security: false, failMode: "closed", options: z.strictObject({}),
  setup: () => ({ onRequest({ request }) { request.fields.set("X-Own", "yes"); } }),
});
const service = createServer((request, response) => response.end(JSON.stringify(request.headers)));
await once(service.listen(0, "127.0.0.1"), "listening");
const upstream = "http://127.0.0.1:" + service.address().port;
const lines = [];
const { Writable } = await import("node:stream");
const log = new Writable({ write: (chunk, _encoding, done) => { lines.push(String(chunk)); done(); } });
const said = { version, lines };
try {
  const ofBuiltIns = await createSidecar({ upstream, policy, log });
  said.threaded = (await fetch(ofBuiltIns.url + "/r699")).status;
  ofBuiltIns.setPolicy({ plugins: ["logging", "auth"] });
  for (let i = 0; i < 200 && said.changed !== 401; i += 1) {
    said.changed = (await fetch(ofBuiltIns.url)).status;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  said.ready = (await fetch(ofBuiltIns.adminUrl + "/readyz")).status;
  await Promise.all([ofBuiltIns.stop(), ofBuiltIns.stop()]);
  said.refused = await createSidecar({ upstream: "nowhere" }).catch((error) => error instanceof ConfigError);
  const ofOthers = await createSidecar({ upstream, plugins: [plugin], log, env: { OUTRIGGER_PLUGIN_DIR: import.meta.dirname },
    policy: { plugins: ["logging", "own", ...Object.keys(extensions)], extensions } });
  const answer = await fetch(ofOthers.url, { headers: { "user-agent": "tester" } });
  said.headers = answer.ok ? await answer.json() : await answer.text();
  await ofOthers.stop();
} finally {
  service.close();
  process.stdout.write(JSON.stringify(said));
}
`;

interface Said {
  readonly version: string;
  readonly threaded: number;
  readonly changed: number;
  readonly ready: number;
  readonly refused: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly lines: readonly string[];
}

async function writeProgram(): Promise<void> {
  const setup = `setup: () => ({ onRequest({ request }) { request.fields.set("X-Child", "yes"); } })`;
  const needs = { readFields: [], writeFields: ["x-child"] };
  const child = bundleExtension({ code: pluginCode(setup), manifest: { needs } }).package;
  writeFileSync(join(folder, "child.cjs"), child.bytes);
  const guest = await cGuest("fields");
  writeFileSync(join(folder, "guest.wasm"), guest);
  const source = (file: string): string => `file:${join(folder, file)}`;
  const extensions = {
    geo: { source: source("child.cjs"), sha256: child.sha256, runtime: "process", limits: { timeMs: 5_000 } },
    fields: {
      source: source("guest.wasm"),
      sha256: hash("sha256", guest),
      runtime: "wasm",
      priority: 100,
      limits: { timeMs: 1_000 },
    },
  };
  const routes = Array.from({ length: 900 }, (_, i) => ({
    path: `/r${i}`,
    pluginConfig: { logging: { headers: ["x-some-field"] } },
  }));
  const policy = { plugins: ["logging"], routes };
  assert.ok(JSON.stringify(policy).length > 52 * 1024);
  writeFileSync(
    join(folder, "given.js"),
    `export const policy = ${JSON.stringify(policy)};\nexport const extensions = ${JSON.stringify(extensions)};\n`,
  );
  writeFileSync(join(folder, "embedding.js"), embedding);
}

for (const { version, path } of nodes()) {
  const skip = path === undefined && `Node ${version} is not here: npm test fetches it`;
  test(`a program embeds it on Node ${version}`, { skip }, async () => {
    await writeProgram();
    const { stdout } = await run(path ?? "", ["embedding.js"], { cwd: folder });
    const said = JSON.parse(stdout) as Said;
    const { lines, headers, ...rest } = said;
    assert.deepEqual(
      rest,
      { version: "0.1.0", threaded: 200, changed: 401, ready: 200, refused: true },
      lines.join(""),
    );
    assert.equal(headers["x-own"], "yes", lines.join(""));
    assert.equal(headers["x-child"], "yes");
    assert.equal(headers["x-agent"], "tester");
  });

  test(`the command line answers on Node ${version}`, { skip }, async () => {
    const policy = join(installed, "deploy/policies/starter.yaml");
    // Not with what the tests themselves are told by, which is no setting.
    const env = { PATH: process.env["PATH"] };
    const { stdout } = await run(path ?? "", [command, "policy", "validate", policy], { env });
    assert.match(stdout, /starter\.yaml/);
  });
}

test("an older Node is told in a sentence", async (t) => {
  const old = ["/usr/bin/node"].find((path) => existsSync(path));
  const version = old === undefined ? "" : execFileSync(old, ["--version"], { encoding: "utf8" }).trim();
  if (old === undefined || !/^v(1\d|20)\./.test(version)) return t.skip("no Node before 22 is here");
  await assert.rejects(run(old, [command, "run"]), {
    code: 2,
    stdout: "",
    stderr: `outrigger needs Node 22.18 or newer; this is ${version}\n`,
  });
});

test("it holds what is needed and nothing else: no source, no test, no script of an install", () => {
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as Record<
    string,
    unknown
  >;
  assert.equal(manifest["scripts"], undefined);
  assert.equal(manifest["private"], undefined);
  const dependencies = Object.keys(manifest["dependencies"] as object);
  assert.ok(!dependencies.includes("node") && dependencies.includes("zod"));
  const files = execFileSync("find", [".", "-type", "f"], { cwd: installed, encoding: "utf8" })
    .trim()
    .split("\n");
  assert.deepEqual(
    files.filter((file) => !/\.(js|d\.ts|md|yaml|json|conf|1)$|\/(LICENSE|NOTICE)$/.test(file)),
    [],
  );
  const notice = readFileSync(join(installed, "NOTICE"), "utf8");
  for (const name of dependencies)
    assert.match(notice, new RegExp(`^${name.replaceAll(".", "\\.")} \\d.*  \\w`, "m"));
});

test("outrigger demo starts, with a policy that can be edited, and one signal ends it", async () => {
  const demo = spawn(process.execPath, [command, "demo"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  demo.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  await eventually("it listens", async () => text.includes('"msg":"listening"'));
  const url = /^sidecar +(http:\S+)$/m.exec(text)?.[1] ?? "";
  assert.equal((await fetch(`${url}/private/notes`)).status, 401);
  const policy = /^policy +(\S+) /m.exec(text)?.[1] ?? "";
  assert.ok(existsSync(policy) && !policy.includes("node_modules"), policy);
  demo.kill("SIGTERM");
  assert.deepEqual(await once(demo, "exit"), [0, null]);
  assert.ok(!existsSync(policy));
});

test("a plugin that it begins is typed, passes its tests and is packed, against the installed package", async () => {
  const env = { PATH: `${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}` };
  await run(process.execPath, [command, "plugin", "init", "greeter"], { cwd: folder });
  const plugin = join(folder, "greeter");
  const { devDependencies } = JSON.parse(readFileSync(join(plugin, "package.json"), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  assert.equal(devDependencies["outrigger"], "^0.1.0");
  for (const name of ["rolldown", "typescript", "@types/node"]) {
    // As npm install would, without asking anybody.
    const target = join(plugin, "node_modules", name);
    if (!existsSync(target)) {
      execFileSync("mkdir", ["-p", join(target, "..")]);
      execFileSync("ln", ["-s", join(root, "node_modules", name), target]);
    }
  }
  await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--noEmit"], { cwd: plugin });
  await run(process.execPath, ["--test", "index.test.ts"], { cwd: plugin, env });
  await run(process.execPath, [command, "plugin", "pack", "."], { cwd: plugin, env });
  assert.ok(existsSync(join(plugin, "greeter@0.1.0.cjs")));
  // The process that tries plugins is found, too.
  await assert.rejects(run(process.execPath, [command, "plugin", "test", "nowhere"], { cwd: plugin, env }), {
    code: 1,
    stdout: /^fail +package .*nowhere[^]*^fail +tests +there is no such folder$/m,
  });
});

test("the checkout itself is not packed", async () => {
  await assert.rejects(
    run("npm", ["pack", "--dry-run"], { cwd: root }),
    /npm run build && npm pack \.\/build/,
  );
});

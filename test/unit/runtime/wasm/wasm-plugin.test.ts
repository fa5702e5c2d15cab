// A guest as a plugin of a real sidecar: what it may do, and what happens to requests if it fails.
// test/e2e/wasm-*.test.ts cover the whole ABI.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type http from "node:http";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { z } from "zod";
import { extensionEntry } from "../../../../src/extensions/entry.ts";
import { manifest } from "../../../../src/extensions/manifest.ts";
import { startSidecar, type TestSidecar } from "../../../../src/testing/testing.ts";
import { createWasmPlugin } from "../../../../src/runtime/wasm/wasm-plugin.ts";
import { eventually } from "../../../support/redis.ts";
import { cGuest, scriptGuest } from "../../../support/wasm/guests.ts";

type Entry = Partial<z.input<typeof extensionEntry>>;

async function sidecarWith(bytes: Buffer, options: unknown, entry: Entry = {}): Promise<TestSidecar> {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const whole = extensionEntry.parse({ source: "file:/x.wasm", sha256, runtime: "wasm", ...entry });
  const itself = manifest.parse({ name: "guest", version: "1.0.0", ...whole.manifest });
  const plugin = createWasmPlugin({
    name: "guest",
    entry: whole,
    package: { manifest: itself, kind: "wasm", bytes, sha256 },
  });
  return startSidecar({
    plugins: [plugin],
    policy: { plugins: [], routes: [{ path: "/*", plugins: ["guest"], pluginConfig: { guest: options } }] },
    upstream: (request, response) => answer(request, response),
  });
}

/** Tells of the request. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => response.end(JSON.stringify({ ...request.headers, body })));
}

const ask = async (sidecar: TestSidecar, init: RequestInit = {}): Promise<Record<string, string>> => {
  const response = await fetch(`${sidecar.url}/a`, init);
  const text = await response.text();
  const fields = text.startsWith("{") ? (JSON.parse(text) as Record<string, string>) : { text };
  return { ...fields, status: String(response.status) };
};

test("a filter reads and sets fields", async () => {
  await using sidecar = await sidecarWith(await cGuest("fields"), {});
  const { "x-agent": agent, status } = await ask(sidecar, { headers: { "user-agent": "tester" } });
  assert.deepEqual([agent, status], ["tester", "200"]);
});

for (const [what, script] of [
  ["timers", "configure period 10\ntick burn 6"],
  ["queues", "configure register q\nconfigure enqueue last x\nqueue burn 6\nqueue enqueue last x"],
] as const) {
  test(`a guest whose ${what} never exceed their limit leaves most of the thread's time to others`, async () => {
    const entry = { limits: { timeMs: 5_000 } };
    await using sidecar = await sidecarWith(await scriptGuest(), { configuration: script }, entry);
    await ask(sidecar);
    const before = process.threadCpuUsage();
    await pause(1_000);
    const { user, system } = process.threadCpuUsage(before);
    assert.ok(user + system < 500_000, `${user + system} µs of a second`);
    await eventually("operators see what it takes", async () => {
      const report = (await (await fetch(`${sidecar.adminUrl}/plugins`)).json()) as {
        plugins: [{ cpuShare: number | null; memoryBytes: number | null }];
      };
      const [{ cpuShare, memoryBytes }] = report.plugins;
      return cpuShare !== null && cpuShare > 0.01 && cpuShare < 1 && (memoryBytes ?? 0) > 1_000_000;
    });
    await sidecar.line(({ msg }) => /take more than a tenth of the sidecar's time/.test(String(msg)));
    assert.equal((await ask(sidecar))["status"], "200");
  });
}

test("a guest that takes more of a processor than it may is ended after ten seconds of it, and the next one has as long", async () => {
  const configuration = "configure period 10\ntick burn 6";
  const entry: Entry = { limits: { cpuShare: 0.01, timeMs: 5_000 } };
  await using sidecar = await sidecarWith(await scriptGuest(), { configuration }, entry);
  const report = async (): Promise<{ cpuShare: number | null; restarts: number }> => {
    const { plugins } = (await (await fetch(`${sidecar.adminUrl}/plugins`)).json()) as {
      plugins: [{ cpuShare: number | null; restarts: number }];
    };
    return plugins[0];
  };
  const { reason } = await sidecar.line(({ msg }) => /failed, and is started again/.test(String(msg)));
  assert.match(String(reason), /^it takes \d\.\d\d of a processor, and may take 0\.01$/);
  await eventually("it is measured anew", async () => (await report()).cpuShare === null);
  await eventually("its share is known", async () => ((await report()).cpuShare ?? 0) > 0.01);
  assert.equal((await report()).restarts, 1);
  assert.equal((await ask(sidecar))["status"], "200");
});

test("a request's body is what the guest made of it, and one that is too long is refused", async () => {
  const configuration = "requestBody write 0 0 0 before-";
  const entry = { manifest: { needs: { body: { requestBytes: 64 } } } };
  await using sidecar = await sidecarWith(await scriptGuest(), { configuration }, entry);
  assert.equal((await ask(sidecar, { method: "POST", body: "text" }))["body"], "before-text");
  assert.equal((await ask(sidecar, { method: "POST", body: "x".repeat(65) }))["status"], "413");
});

test("what the manifest does not ask for is neither shown nor written", async () => {
  const configuration = "request get 0 x-other\nrequest get 0 x-shown\nrequest replace 0 x-set 1";
  const needs = { readFields: ["x-shown"], writeFields: ["x-set"] };
  await using sidecar = await sidecarWith(await scriptGuest(), { configuration }, { manifest: { needs } });
  const { "x-set": set } = await ask(sidecar, { headers: { "x-shown": "yes", "x-other": "no" } });
  assert.equal(set, "1");
  await sidecar.line(({ msg }) => String(msg).includes("request get 0 x-shown -> 0 yes"));
  await sidecar.line(({ msg }) => /^request get 0 x-other -> 1$/m.test(String(msg)));

  const other = { configuration: "request replace 0 x-other 1" };
  await using refusing = await sidecarWith(await scriptGuest(), other, { manifest: { needs } });
  assert.equal((await ask(refusing))["status"], "503");
  await refusing.line(({ err }) => JSON.stringify(err ?? "").includes("needs.writeFields"));
});

test("what the sidecar tells the service is not a guest's to say", async () => {
  const configuration = "request replace 0 x-forwarded-for 192.0.2.1\nrequest replace 0 x-request-id mine";
  await using sidecar = await sidecarWith(await scriptGuest(), { configuration });
  const { "x-forwarded-for": client, "x-request-id": id } = await ask(sidecar);
  assert.equal(client, "127.0.0.1");
  assert.notEqual(id, "mine");
});

test("the target that the route was found by cannot be changed", async () => {
  const configuration = "request replace 0 :path /admin";
  await using sidecar = await sidecarWith(await scriptGuest(), { configuration });
  assert.equal((await ask(sidecar))["status"], "503");
});

test("the service is told another host when the guest says so, and no other that is none", async () => {
  const configuration =
    "request replace 0 :authority canary.example:8080\nrequest replace 0 host other.example";
  await using sidecar = await sidecarWith(await scriptGuest(), { configuration });
  const { host, status } = await ask(sidecar);
  assert.deepEqual([host, status], ["canary.example:8080", "200"]);
  const wrong = { configuration: "request replace 0 :authority a/b" };
  await using refusing = await sidecarWith(await scriptGuest(), wrong);
  assert.equal((await ask(refusing))["status"], "503");
});

test("a guest that traps is started again, and quarantined when it does so too often", async () => {
  const entry: Entry = { failMode: "closed", limits: { restartsPerMinute: 1 } };
  await using sidecar = await sidecarWith(await scriptGuest(), { configuration: "request trap" }, entry);
  assert.equal((await ask(sidecar))["status"], "503");
  await sidecar.line(({ msg }) => /failed, and is started again/.test(String(msg)));
  assert.equal((await ask(sidecar))["status"], "503");
  await sidecar.line(({ msg }) => /is quarantined until a policy names another digest/.test(String(msg)));
  assert.equal((await ask(sidecar))["status"], "503");
});

test("a guest that fails open lets requests past", async () => {
  const entry: Entry = { failMode: "open" };
  await using sidecar = await sidecarWith(await scriptGuest(), { configuration: "request trap" }, entry);
  assert.equal((await ask(sidecar))["status"], "200");
});

test("a guest that refuses its configuration is told of by name, and no request gets through", async () => {
  await using sidecar = await sidecarWith(await scriptGuest(), { configuration: "configure return 0" });
  const refusal = /plugin \\"guest\\" on route.*refuses its configuration/;
  await sidecar.line((line) => refusal.test(JSON.stringify(line)));
  assert.equal((await ask(sidecar))["status"], "503");
});

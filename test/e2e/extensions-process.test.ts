// External plugins in a process of their own: what they can do, what they cannot, and how they end.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { definePlugin, z } from "outrigger/plugin";
import { startSidecar, type TestSidecar } from "outrigger/plugin/testing";
import { createProcessPlugin } from "../../src/runtime/process/plugin.ts";
import { bundledPluginProcess } from "../support/plugin-process.ts";
import { type BundleOptions, bundleExtension } from "../support/extensions.ts";
import { mainFile, startNode } from "../support/process.ts";
import { eventually } from "../support/redis.ts";

const program = await bundledPluginProcess();
const folder = mkdtempSync(join(tmpdir(), "outrigger-process-"));
after(() => rmSync(folder, { recursive: true }));

const echo: RequestListener = (request, response) => {
  response.setHeader("X-Echo", JSON.stringify(request.headers));
  let body = "";
  request.on("data", (chunk: Buffer) => (body += chunk.toString()));
  request.on("end", () => response.end(body));
};

type Facts = Omit<BundleOptions, "code"> & {
  options?: unknown;
  env?: Record<string, string>;
  upstream?: RequestListener;
};

/** A sidecar with one plugin, whose members are JavaScript. */
async function start(
  members: string,
  { options, env, upstream = echo, ...facts }: Facts = {},
): Promise<TestSidecar> {
  const code = `const { definePlugin, z, GatewayError, note } = require("outrigger/plugin");
    module.exports.plugin = definePlugin({ ${members} });`;
  const entry = { runtime: "process" as const, ...facts.entry };
  const plugin = createProcessPlugin(bundleExtension({ code, ...facts, entry }), program);
  return startSidecar({
    plugins: [plugin],
    policy: { plugins: ["geo"], ...(options === undefined ? {} : { pluginConfig: { geo: options } }) },
    upstream,
    ...(env === undefined ? {} : { env }),
  });
}

async function ask(
  sidecar: TestSidecar,
  path: string,
  init?: RequestInit,
): Promise<[number, Headers, string]> {
  const answer = await fetch(`${sidecar.url}${path}`, init);
  return [answer.status, answer.headers, await answer.text()];
}

const sentOn = (headers: Headers): Record<string, string> =>
  JSON.parse(headers.get("x-echo") ?? "{}") as never;

describe("a plugin in a process of its own", () => {
  test("sees requests and responses, and changes and answers them", async () => {
    await using sidecar = await start(
      `options: z.strictObject({ country: z.string().default("NL") }),
      setup({ options, route }) {
        const seen = note("seen");
        return {
          onRequest(exchange) {
            const { request, client } = exchange;
            seen.set(exchange, request.fields.get("x-in"));
            request.fields.set("X-Geo", [options.country, route.pattern, request.path, request.query, client.address].join(" "));
            request.fields.delete("x-drop");
            if (request.path === "/no") return { action: "reject", error: new GatewayError("forbidden", "Not you.", { fields: ["X-Why", "geo"], members: { where: "here" } }) };
            if (request.path === "/thrown") throw new GatewayError("rate_limited", "Slower.");
            if (request.path === "/hi") return { action: "respond", status: 203, fields: ["X-By", "geo"], body: "hé" };
            if (request.path === "/large") return { action: "respond", status: 200, body: Buffer.alloc(300_000, 7) };
          },
          async onResponse(exchange, response) {
            await null;
            response.fields.set("X-Seen", String(seen.get(exchange)) + " " + response.status + " " + response.origin);
            response.fields.append("Set-Cookie", "a=1");
            response.fields.append("Set-Cookie", "b=2");
            if (exchange.request.path === "/other") { response.status = 202; response.replaceBody("other"); }
          },
        };
      },`,
      { options: { country: "BE" } },
    );
    const [status, headers] = await ask(sidecar, "/a?b=c", { headers: { "X-In": "in", "X-Drop": "1" } });
    assert.deepEqual([status, headers.get("x-seen")], [200, "in 200 upstream"]);
    assert.deepEqual(headers.getSetCookie(), ["a=1", "b=2"]);
    const sent = sentOn(headers);
    assert.deepEqual([sent["x-geo"], sent["x-drop"]], ["BE /* /a ?b=c 127.0.0.1", undefined]);
    const [no, noHeaders, noBody] = await ask(sidecar, "/no");
    assert.deepEqual(
      [no, noHeaders.get("x-why"), noHeaders.get("x-seen")],
      [403, "geo", "undefined 403 sidecar"],
    );
    assert.match(noBody, /"detail":"Not you\.","where":"here"/);
    assert.equal((await ask(sidecar, "/thrown"))[0], 429);
    const [hi, hiHeaders, hiBody] = await ask(sidecar, "/hi");
    assert.deepEqual([hi, hiHeaders.get("x-by"), hiBody], [203, "geo", "hé"]);
    assert.equal((await ask(sidecar, "/large"))[2], "\u0007".repeat(300_000));
    const [other, otherHeaders, otherBody] = await ask(sidecar, "/other");
    assert.deepEqual([other, otherHeaders.get("content-length"), otherBody], [202, "5", "other"]);
  });

  test("is refused what its manifest does not ask for, and what no plugin may", async () => {
    await using sidecar = await start(
      `setup: ({ services }) => ({
        async onRequest(exchange) {
          const { path, fields } = { path: exchange.request.path, fields: exchange.request.fields };
          const tried = async (what) => { try { return String(await what()); } catch (error) { return error.message; } };
          if (path === "/length") fields.set("Content-Length", "0");
          if (path === "/write") fields.set("X-Other", "1");
          if (path === "/split") return { action: "respond", status: 200, fields: ["X-Geo", "a\\r\\nX-Evil: 1"] };
          if (path === "/identity") exchange.identity = { userId: "root" };
          const text = JSON.stringify({
            shown: [fields.get("x-in") ?? null, fields.get("cookie") ?? null],
            secret: await tried(() => services.secrets.get("SECRET_OTHER")),
            own: await tried(() => services.secrets.get("SECRET_MINE")),
            http: await tried(() => services.http.request({ url: "http://127.0.0.1:1/", timeoutMs: 50, maxBodyBytes: 10 })),
            body: await tried(() => exchange.readBody(10)),
          });
          return { action: "respond", status: 200, body: text };
        },
      }),`,
      {
        manifest: { needs: { readFields: ["x-in"], writeFields: ["x-geo"], secrets: ["SECRET_MINE"] } },
        env: { OUTRIGGER_SECRET_MINE: "mine", OUTRIGGER_SECRET_OTHER: "other" },
        entry: { runtime: "process", limits: { timeMs: 1_000 } },
      },
    );
    const [, , text] = await ask(sidecar, "/", { headers: { "X-In": "in", Cookie: "a=b" } });
    const told = JSON.parse(text) as Record<string, string>;
    assert.deepEqual(told["shown"], ["in", null]);
    assert.equal(told["own"], "mine");
    assert.match(told["secret"] ?? "", /SECRET_OTHER, which its manifest does not ask for/);
    assert.match(told["http"] ?? "", /127\.0\.0\.1:1\b.*needs\.hosts/);
    assert.match(told["body"] ?? "", /needs\.body\.requestBytes/);
    for (const path of ["/length", "/write", "/split", "/identity"])
      assert.equal((await ask(sidecar, path))[0], 503, path);
    await sidecar.line(({ err }) =>
      /sets the field \\"X-Other\\", which its manifest/.test(JSON.stringify(err) ?? ""),
    );
  });

  test("has services: calls, bodies, log and metrics", async () => {
    const called: string[] = [];
    await using other = await startSidecar({
      policy: { plugins: [] },
      upstream: (request, response) => {
        called.push(`${request.method} ${request.url} ${String(request.headers["x-key"])}`);
        response.end("answered");
      },
    });
    await using sidecar = await start(
      `setup: ({ services }) => {
        const count = services.metrics.counter("outrigger_geo_lookups_total", "Look-ups", ["kind"])("country");
        return {
          async onRequest(exchange) {
            count.inc(); count.inc(2);
            const body = await exchange.readBody(1_000);
            const answer = await services.http.request({ url: "${other.url}/look?up", method: "POST", body: "q", fields: { "X-Key": "k" }, timeoutMs: 500, maxBodyBytes: 100 });
            services.logger.info({ body: body.length, level: "x" }, "looked up");
            return { action: "respond", status: 200, body: body.toString() + " " + answer.status + " " + answer.body };
          },
        };
      },`,
      {
        manifest: { needs: { hosts: [new URL(other.url).host], body: { requestBytes: 1_000 } } },
        entry: { runtime: "process", limits: { timeMs: 2_000 } },
      },
    );
    const [status, , text] = await ask(sidecar, "/", { method: "POST", body: "given" });
    assert.deepEqual([status, text, called], [200, "given 200 answered", ["POST /look?up k"]]);
    const line = await sidecar.line(({ msg }) => msg === "looked up");
    assert.deepEqual([line["plugin"], line["fields"]], ["geo", { body: 5, level: "x" }]);
    await eventually("its metrics are told", async () =>
      /^outrigger_geo_lookups_total\{.*kind="country".*\} 3$/m.test(await sidecar.metrics()),
    );
    assert.equal((await ask(sidecar, "/", { method: "POST", body: "x".repeat(2_000) }))[0], 413);
  });

  test("is refused, and the policy with it, where it cannot be set up", async () => {
    const refused = async (
      members: string,
      why: RegExp,
      facts?: Facts,
      then?: (sidecar: TestSidecar) => Promise<unknown>,
    ): Promise<void> => {
      await using sidecar = await start(members, facts);
      const line = await sidecar.line(
        ({ msg }) => typeof msg === "string" && /policy/.test(msg) && /refused|not|cannot/.test(msg),
      );
      assert.match(JSON.stringify(line), why);
      assert.equal((await ask(sidecar, "/"))[0], 503);
      await then?.(sidecar);
    };
    await refused(`setup() { throw new Error("no country"); }`, /plugin \\"geo\\" on route .*no country/);
    await refused(`x: require("node:fs"), setup: () => ({})`, /requires \\"node:fs\\"/);
    await refused(`nothing: 1`, /exports no plugin/);
    const closes = `close() { services.logger.info({}, "closed what was refused"); }`;
    await refused(
      `setup: ({ services }) => ({ onRequest() {}, ${closes} })`,
      /manifest does not name the hook onRequest/,
      { manifest: { hooks: ["onResponse"] } },
      (sidecar) => sidecar.line(({ msg }) => msg === "closed what was refused"),
    );
    await refused(`setup: () => ({ onrequest() {} })`, /did you mean onRequest\?/);
    await refused(
      `setup: () => ({ ownedRequestFields: ["Authorization"] })`,
      /manifest does not name .*authorization/,
    );
    await refused(
      `setup: () => ({ ownedRequestFields: ["Authorization"] })`,
      /authorization.*, which is the client's/,
      { manifest: { needs: { writeFields: ["authorization"] } } },
    );
  });

  test("reaches nothing of the machine, and leaves nothing when the sidecar ends", async () => {
    await using sidecar = await start(
      `setup: () => ({
        async onRequest() {
          const found = {};
          const tried = async (name, what) => { try { found[name] = String(await what()); } catch (error) { found[name] = "refused"; } };
          await tried("import", () => import("node:fs"));
          await tried("eval", () => (0, eval)("1"));
          await tried("function", () => new Function("return process")());
          await tried("env", () => Object.keys(process.env).length);
          await tried("kill", () => process.kill(1, 0));
          await tried("binding", () => process.binding("fs"));
          await tried("builtin", () => process.getBuiltinModule("fs"));
          await tried("main", () => require.main);
          await tried("fetch", () => fetch);
          await tried("worker", () => Worker);
          await tried("caller", () => { Error.prepareStackTrace = (_, sites) => sites.filter((site) => !String(site.getFileName()).startsWith("geo@")).map((site) => typeof site.getThis() + typeof site.getFunction()).join(); return new Error().stack; });
          return { action: "respond", status: 200, body: JSON.stringify(found) };
        },
      }),`,
      { entry: { runtime: "process", limits: { timeMs: 1_000 } } },
    );
    const [, , text] = await ask(sidecar, "/");
    const found = JSON.parse(text) as Record<string, string>;
    const { caller, main, env, ...rest } = found;
    assert.deepEqual([env, main], ["0", "undefined"]);
    assert.doesNotMatch(caller ?? "", /object|function/);
    assert.deepEqual([...new Set(Object.values(rest))], ["refused"]);
    const [pid = 0] = pluginProcesses();
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    assert.equal(readFileSync(`/proc/${pid}/environ`, "utf8"), "");
    assert.match(status, /^NoNewPrivs:\t1$/m);
    if (process.getuid?.() === 0) {
      assert.doesNotMatch(status, /^Uid:\t0/m);
      assert.match(status, /^CapEff:\t0+$/m);
    }
    assert.equal(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim(), "1000");
    // Its folder is gone already.
    assert.match(readlinkSync(`/proc/${pid}/cwd`), / \(deleted\)$/);
    await sidecar.stop();
    assert.deepEqual(pluginProcesses(), []);
  });
});

test("an answer that came in time is in time, though the sidecar itself was busy", async () => {
  const stall = definePlugin({
    name: "stall",
    version: "1.0.0",
    apiVersion: 1,
    priority: 10,
    security: false,
    failMode: "closed",
    options: z.strictObject({}),
    setup: () => ({
      onRequest() {
        // Once the process has the next plugin's call, and before it answers; what ends in this phase is followed by
        // timers, not by what the process said.
        const busy = (): void => {
          for (const until = performance.now() + 150; performance.now() < until;);
        };
        setTimeout(() => setImmediate(busy), 2);
      },
    }),
  });
  const code = `module.exports = { setup: () => ({ async onRequest({ request }) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    request.fields.set("X-Geo", "NL");
  } }) };`;
  await using sidecar = await startSidecar({
    plugins: [stall, createProcessPlugin(bundleExtension({ code }), program)],
    policy: { plugins: ["stall", "geo"] },
    upstream: echo,
  });
  for (let i = 0; i < 3; i += 1) {
    const [status, headers] = await ask(sidecar, "/");
    assert.deepEqual([status, sentOn(headers)["x-geo"]], [200, "NL"]);
  }
});

/** A plugin that dies when it is told to. */
const mortal = `setup({ options }) {
  return {
    async onRequest({ request }) {
      if (request.path === "/die") { const all = []; for (;;) all.push(new Array(1000).fill({})); }
      return { action: "respond", status: 200, body: JSON.stringify(options) };
    },
  };
},`;

describe("the process of a plugin", () => {
  test("is started again when it dies, and set up as it was", async () => {
    await using sidecar = await start(mortal, { options: { mark: "same" } });
    const [before] = pluginProcesses();
    assert.equal((await ask(sidecar, "/die"))[0], 503);
    await eventually("it answers again", async () => (await ask(sidecar, "/"))[0] === 200);
    assert.equal((await ask(sidecar, "/"))[2], '{"mark":"same"}');
    assert.notEqual(pluginProcesses()[0], before);
    assert.equal(pluginProcesses().length, 1);
  });

  test("is left alone when it keeps dying, which operators are told", async () => {
    const entry = { runtime: "process" as const, limits: { restartsPerMinute: 0 } };
    await using sidecar = await start(mortal, { entry, options: {} });
    assert.equal((await ask(sidecar, "/die"))[0], 503);
    const line = await sidecar.line(({ msg }) =>
      /quarantined until a policy names another digest/.test(String(msg)),
    );
    assert.equal(line["plugin"], "geo");
    await eventually("its process is gone", () => pluginProcesses().length === 0);
    assert.equal((await ask(sidecar, "/"))[0], 503);
    assert.match(
      await sidecar.metrics(),
      /^outrigger_plugin_quarantined\{.*plugin="geo",version="1\.0\.0\+[0-9a-f]{12}".*\} 1$/m,
    );
    // The one that it died of, and the one that found nobody.
    for (const type of ["threw", "unavailable"])
      assert.match(
        await sidecar.metrics(),
        new RegExp(
          `^outrigger_plugin_errors_total\\{.*plugin="geo",phase="onRequest",type="${type}"\\} 1$`,
          "m",
        ),
      );
    const told = await (await fetch(`${sidecar.adminUrl}/plugins`)).text();
    assert.match(told, /"state": "quarantined"/);
    // Once in the log for the death, never for each request.
    assert.equal(sidecar.lines.filter(({ msg }) => msg === "plugin hook failed").length, 1);
  });

  test("keeps clients from sending its fields while it is quarantined, in later policies too", async () => {
    const code = `module.exports = { setup: () => ({
      ownedRequestFields: ["x-geo"],
      async onRequest({ request }) {
        if (request.path === "/die") { const all = []; for (;;) all.push(new Array(1000).fill({})); }
        request.fields.set("X-Geo", "its own");
      } }) };`;
    const needs = { writeFields: ["x-geo"] };
    const { bytes, sha256 } = bundleExtension({ code, manifest: { needs } }).package;
    const path = join(folder, "owner.cjs");
    writeFileSync(path, bytes);
    const geo = {
      source: `file:${path}`,
      sha256,
      runtime: "process",
      failMode: "open",
      limits: { restartsPerMinute: 0 },
    };
    const policyOf = (mark: string): Record<string, unknown> => ({
      extensions: { geo },
      plugins: ["geo", "transform"],
      pluginConfig: { transform: { addResponseHeaders: { "X-Mark": mark } } },
    });
    await using sidecar = await startSidecar({ policy: policyOf("before"), upstream: echo });
    const sent = async (): Promise<[string | null, string | undefined]> => {
      const [, headers] = await ask(sidecar, "/", { headers: { "X-Geo": "the client's" } });
      return [headers.get("x-mark"), sentOn(headers)["x-geo"]];
    };
    assert.deepEqual(await sent(), ["before", "its own"]);
    await ask(sidecar, "/die");
    await sidecar.line(({ msg }) => /quarantined until a policy names another/.test(String(msg)));
    assert.deepEqual(await sent(), ["before", undefined]);
    sidecar.setPolicy(policyOf("after"));
    await eventually("the next policy is in force", async () => (await sent())[0] === "after");
    assert.deepEqual(await sent(), ["after", undefined]);
  });

  test("says much at once and lives: answers to a crowd, and large values of its cache", async () => {
    await using sidecar = await start(
      `setup: ({ services }) => ({
        onRequest({ request }) {
          const lines = "\\n".repeat(16_000);
          if (request.path === "/lines") return { action: "respond", status: 200, body: lines };
          const sets = Array.from({ length: 24 }, (_, i) => services.cache.set("k" + i, '"'.repeat(100_000), { ttlMs: 60_000 }));
          return Promise.all(sets).then(() => ({ action: "respond", status: 200, body: "kept" }));
        },
      }),`,
    );
    const [pid] = pluginProcesses();
    await ask(sidecar, "/lines");
    const crowd = await Promise.all(Array.from({ length: 300 }, () => ask(sidecar, "/lines")));
    assert.deepEqual(
      new Set(crowd.map(([status, , body]) => `${status} ${body.length}`)),
      new Set(["200 16000"]),
    );
    assert.equal((await ask(sidecar, "/keep"))[2], "kept");
    assert.deepEqual(pluginProcesses(), [pid]);
  });

  test("is not held to have hung while the machine has no time for it", async () => {
    const entry = { runtime: "process" as const, limits: { timeMs: 10_000, restartsPerMinute: 0 } };
    await using sidecar = await start(mortal, { entry, options: {} });
    assert.equal((await ask(sidecar, "/"))[0], 200);
    const [pid = 0] = pluginProcesses();
    process.kill(pid, "SIGSTOP");
    const asked = ask(sidecar, "/");
    // It is pinged once a second, and has 250 ms to answer where it runs.
    await pause(1_400);
    process.kill(pid, "SIGCONT");
    assert.equal((await asked)[0], 200);
    assert.deepEqual(pluginProcesses(), [pid]);
  });

  test("hands what it keeps over to the one of another version, and ends after its own last request", async () => {
    const policyOf = (version: string): Record<string, unknown> => {
      const code = `module.exports = {
        init: () => ({ seen: [] }),
        exportState: ({ seen }) => ({ seen }),
        async importState(state, { seen }) { state.seen.push(...seen, "handed over"); },
        setup: ({ state }) => ({ async onRequest({ request }) {
          state.seen.push(request.path);
          if (request.path === "/slow") await new Promise((resolve) => setTimeout(resolve, 2_000));
          return { action: "respond", status: 200, body: "${version} " + state.seen };
        } }) };`;
      const { bytes, sha256 } = bundleExtension({ code, manifest: { version } }).package;
      const path = join(folder, `${version}.cjs`);
      writeFileSync(path, bytes);
      const geo = { source: `file:${path}`, sha256, runtime: "process", limits: { timeMs: 10_000 } };
      return { plugins: ["geo"], extensions: { geo } };
    };
    await using sidecar = await startSidecar({ policy: policyOf("1.0.0"), upstream: echo });
    await eventually("its memory and its share of a processor are told", async () => {
      const { plugins } = (await (await fetch(`${sidecar.adminUrl}/plugins`)).json()) as {
        plugins: { memoryBytes: number; cpuShare: number | null }[];
      };
      const [geo = { memoryBytes: 0, cpuShare: null }] = plugins;
      return geo.memoryBytes > 10_000_000 && geo.cpuShare !== null && geo.cpuShare < 2;
    });
    assert.equal((await ask(sidecar, "/a"))[2], "1.0.0 /a");
    const slow = ask(sidecar, "/slow");
    sidecar.setPolicy(policyOf("1.0.1"));
    await eventually("the new version answers", async () =>
      (await ask(sidecar, "/b"))[2].startsWith("1.0.1"),
    );
    await eventually("it has the state", async () => /handed over/.test((await ask(sidecar, "/c"))[2]));
    assert.match((await ask(sidecar, "/d"))[2], /^1\.0\.1 .*\/a,\/slow.*handed over/);
    assert.match((await slow)[2], /^1\.0\.0 \/a,\/slow/);
    await eventually("the old process is gone", () => pluginProcesses().length === 1);
  });

  test("ends with its sidecar, even while it spins and the sidecar is killed", async () => {
    const facts = { name: "geo", version: "1.0.0" };
    const code = `module.exports = { setup: () => ({ onRequest() { setTimeout(() => { for (;;); }, 1); } }) };`;
    const { bytes, sha256 } = bundleExtension({ code, manifest: facts }).package;
    writeFileSync(join(folder, "geo.cjs"), bytes);
    const policy = {
      apiVersion: "outrigger/v1",
      plugins: ["geo"],
      extensions: { geo: { source: `file:${join(folder, "geo.cjs")}`, sha256, runtime: "process" } },
    };
    writeFileSync(join(folder, "policy.json"), JSON.stringify(policy));
    const started = startNode([mainFile, "run"], {
      OUTRIGGER_LISTEN: "127.0.0.1:0",
      OUTRIGGER_ADMIN: "127.0.0.1:0",
      OUTRIGGER_UPSTREAM: "http://127.0.0.1:1",
      OUTRIGGER_POLICY_FILE: join(folder, "policy.json"),
    });
    const [, address = ""] = /"address":"([^"]+)"/.exec(await started.said('"msg":"listening"')) ?? [];
    const [pid = 0] = pluginProcesses(started.child.pid);
    assert.notEqual(pid, 0);
    await fetch(`http://${address}/`);
    started.child.kill("SIGKILL");
    await started.end;
    await eventually("its process is gone", () => !existsSync(`/proc/${pid}`));
  });
});

/** Processes of plugins that a process has started. */
function pluginProcesses(of: number | undefined = process.pid): number[] {
  const children = readFileSync(`/proc/${of}/task/${of}/children`, "utf8");
  return children
    .split(" ")
    .map(Number)
    .filter((pid) => pid > 0);
}

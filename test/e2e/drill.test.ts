// `outrigger drill` on real sidecars and a real Redis, both of which stay healthy. drill-failures.test.ts checks the
// promises of README's table of failures against the reports.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { z } from "zod";
import { drillStatus } from "../../src/drills/status.ts";
import { TokenIssuer } from "../plugins/auth/token-issuer.ts";
import { auditPlace } from "../support/audit.ts";
import { startCrew, startService } from "../support/crew.ts";
import { drilled, rowOf } from "../support/drill.ts";
import { pluginWith } from "../support/plugins.ts";
import { mainFile, outrigger, startNode } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const quick = Object.freeze({ timeLimitMs: { onRequest: 100 }, onRequest: () => Promise.resolve(undefined) });
const limit = { by: "ip", limit: 1_000_000, window: "1h", mode: "exact" };
const limited = (onStoreError: string) => ({
  "rate-limit": { limits: [{ name: onStoreError, ...limit }], onStoreError },
});
const adminOf = ({ adminUrl }: { readonly adminUrl: string }): string => adminUrl.slice("http://".length);

describe("outrigger drill", () => {
  let redis: RedisServer;
  let issuer: TokenIssuer;
  let sidecar: TestSidecar;
  before(async () => {
    [redis, issuer] = await Promise.all([startRedis(), TokenIssuer.start()]);
    const jwt = { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audience: ["api"] }] };
    const policy = {
      apiVersion: "outrigger/v1",
      plugins: [],
      routes: [
        { path: "/plain" },
        { path: "/open", plugins: ["rate-limit"], pluginConfig: limited("open") },
        { path: "/closed", plugins: ["rate-limit"], pluginConfig: limited("closed") },
        { path: "/keys", plugins: ["auth"] },
        { path: "/tokens", plugins: ["auth"], pluginConfig: { auth: { jwt } } },
        { path: "/slow", plugins: ["fails-open", "fails-closed"] },
        { path: "/slow-open", plugins: ["fails-open"] },
      ],
    };
    await redis.cli.set("outrigger:policy", JSON.stringify(policy));
    sidecar = await startSidecar({
      plugins: [
        pluginWith("fails-open", quick, { failMode: "open" }),
        pluginWith("fails-closed", quick, { failMode: "closed" }),
      ],
      upstream: (_request, response) => void response.end("ok"),
      redisUrl: redis.url,
      env: { OUTRIGGER_DRILLS: "on", OUTRIGGER_INSTANCE: "orders-1" },
    });
  });
  after(async () => {
    await sidecar.stop();
    await redis.close();
    issuer.close();
  });

  const status = async (path: string, headers: Record<string, string> = {}): Promise<number> => {
    const response = await fetch(`${sidecar.url}${path}`, { headers });
    await response.text();
    return response.status;
  };
  const key = { "X-API-Key": "nobody-knows-this-one" };

  test("redis-down: the policy goes on, limits by onStoreError, keys are 503 and not 401", async () => {
    assert.equal(await status("/keys", key), 401);
    const report = await drilled(sidecar, "redis-down", async () => {
      assert.deepEqual(
        await Promise.all(["/plain", "/open", "/closed"].map((path) => status(path))),
        [200, 200, 503],
      );
      assert.equal(await status("/keys", key), 503);
      const verbose = await (await fetch(`${sidecar.adminUrl}/readyz?verbose`)).text();
      assert.match(
        verbose,
        /\[\+\] redis: down, not needed to serve\n(.*\n)*\[\+\] drill: as if redis-down, for/,
      );
      const metrics = await sidecar.metrics();
      assert.match(metrics, /^outrigger_redis_up\{.*\} 0$/m);
      assert.match(metrics, /^outrigger_drill_running\{.*fault="redis-down".*\} 1$/m);
      const policy = z
        .object({ drill: z.object({ fault: z.string() }) })
        .parse(await (await fetch(`${sidecar.adminUrl}/policy`)).json());
      assert.equal(policy.drill.fault, "redis-down");
    });
    assert.deepEqual(rowOf(report, "/closed"), {
      route: "/closed",
      requests: 1,
      statuses: { 503: 1 },
      answeredBy: { "rate-limit: dependency_unavailable": 1 },
      declared: ["rate-limit: onStoreError=closed"],
    });
    assert.deepEqual(rowOf(report, "/open")?.statuses, { 200: 1 });
    assert.deepEqual(rowOf(report, "/keys")?.declared, ["auth: apiKeys.onStoreError=deny"]);
    assert.deepEqual([await status("/closed"), await status("/keys", key)], [200, 401]);
    assert.match(await sidecar.metrics(), /^outrigger_drill_running\{.*fault="redis-down".*\} 0$/m);
  });

  test("redis-slow: what waits too long for Redis goes by onStoreError", async () => {
    const report = await drilled(sidecar, "redis-slow=200ms", async () => {
      assert.deepEqual(
        [await status("/open"), await status("/closed"), await status("/plain")],
        [200, 503, 200],
      );
    });
    assert.deepEqual(rowOf(report, "/closed")?.statuses, { 503: 1 });
    assert.equal(await status("/closed"), 200);
  });

  test("upstream-down: 502", async () => {
    const report = await drilled(sidecar, "upstream-down", async () => {
      assert.equal(await status("/plain"), 502);
    });
    assert.deepEqual(rowOf(report, "/plain"), {
      route: "/plain",
      requests: 1,
      statuses: { 502: 1 },
      answeredBy: { upstream_refused: 1 },
      declared: ["502, unless a plugin answers"],
    });
    assert.equal(await status("/plain"), 200);
  });

  test("issuer-down: tokens of which nobody can tell are 503, never 401", async () => {
    // Of the first one it has the key already.
    const key = await issuer.rotate("second", "keep");
    const bearer = { Authorization: `Bearer ${await issuer.sign({}, { key })}` };
    const report = await drilled(sidecar, "issuer-down", async () => {
      assert.equal(await status("/tokens", bearer), 503);
    });
    assert.deepEqual(rowOf(report, "/tokens")?.answeredBy, { "auth: dependency_unavailable": 1 });
    await eventually("the issuer is asked again", async () => (await status("/tokens", bearer)) === 200);
  });

  test("plugin-slow: cut off at its limit; open goes on without it, closed is 503", async () => {
    const closed = await drilled(sidecar, "plugin-slow=fails-closed", async () => {
      assert.deepEqual([await status("/slow"), await status("/slow-open")], [503, 200]);
    });
    assert.deepEqual(rowOf(closed, "/slow")?.answeredBy, { "fails-closed: plugin_failed": 1 });
    const open = await drilled(sidecar, "plugin-slow=fails-open", async () => {
      assert.deepEqual([await status("/slow"), await status("/slow-open")], [200, 200]);
    });
    assert.deepEqual(rowOf(open, "/slow-open")?.declared, ["fails-open: failMode=open"]);
  });

  test("disk-full: records that must be written are 503, nothing is kept, and all goes on afterwards", async () => {
    using place = auditPlace();
    const policy = (mode: string) => ({
      plugins: ["respond"],
      audit: { mode },
      pluginConfig: { respond: { status: 200 } },
    });
    await using full = await startSidecar({
      policy: policy("blocking"),
      upstream: (_request, response) => void response.end("ok"),
      env: { ...place.env, OUTRIGGER_DRILLS: "on", OUTRIGGER_STATE_DIR: join(place.folder, "state") },
    });
    const ask = async () => (await fetch(full.url)).status;
    await eventually("records are written", async () => (await ask()) === 200);
    const report = await drilled(full, "disk-full", async () => {
      assert.equal(await ask(), 503);
      full.setPolicy(policy("buffered"));
      await full.line(({ msg }) => /the policy could not be kept in .*: ENOSPC/.test(String(msg)));
      assert.equal(await ask(), 200, "a policy that does not wait for records is served");
      full.setPolicy(policy("blocking"));
      await eventually("it waits again", async () => (await ask()) === 503);
    });
    const [row] = report.routes.filter(({ requests }) => requests > 0);
    assert.deepEqual(row?.declared, ["audit: mode=blocking: 503 where records go to OUTRIGGER_AUDIT_FILE"]);
    assert.ok((row.statuses["503"] ?? 0) >= 2, JSON.stringify(row));
    await eventually("there is room again", async () => (await ask()) === 200);
    full.setPolicy(policy("buffered"));
    const state = join(place.folder, "state");
    const kept = () => readdirSync(state).map((name) => readFileSync(join(state, name), "utf8"));
    await eventually("policies are kept again", () => kept().some((text) => text.includes("buffered")));
  });

  test("one at a time, ended by DELETE, refused with an Origin, for another instance, for what is no fault", async () => {
    const post = (query: string, headers: Record<string, string> = {}) =>
      fetch(`${sidecar.adminUrl}/drill?${query}`, { method: "POST", headers });
    assert.equal((await post("fault=upstream-down&for=1s", { Origin: "http://a.test" })).status, 403);
    assert.equal((await post("fault=upstream-down&for=1s&instance=orders-2")).status, 409);
    for (const wrong of [
      "fault=disk-empty&for=1s",
      "fault=redis-down&for=11m",
      "fault=plugin-slow%3Dnone&for=1s",
    ])
      assert.equal((await post(wrong)).status, 400, wrong);
    assert.equal((await post("fault=upstream-down&for=5m")).status, 202);
    assert.equal((await post("fault=redis-down&for=1s")).status, 409);
    const other = await outrigger(["drill", "redis-down", "--admin", adminOf(sidecar)]);
    assert.equal(other.code, 1);
    assert.match(other.stderr, /409 A drill goes on: upstream-down/);
    assert.equal((await fetch(`${sidecar.adminUrl}/drill`, { method: "DELETE" })).status, 202);
    assert.equal(await status("/plain"), 200);
    await sidecar.line(({ msg, fault, forMs }) => {
      return (
        msg === "a drill begins: this sidecar behaves as if that failed" &&
        fault === "upstream-down" &&
        forMs === 300_000
      );
    });
    await eventually("its report", async () => {
      const { running, last } = drillStatus.parse(await (await fetch(`${sidecar.adminUrl}/drill`)).json());
      return running === null && last?.forMs === 300_000;
    });
  });

  test("refused where OUTRIGGER_DRILLS is not on", async () => {
    await using plain = await startSidecar({ upstream: (_request, response) => void response.end("ok") });
    const { code, stderr } = await outrigger(["drill", "upstream-down", "--admin", adminOf(plain)]);
    assert.equal(code, 1);
    assert.match(stderr, /403 Refused, for OUTRIGGER_DRILLS is not on here/);
    assert.equal(
      (await fetch(`${plain.adminUrl}/drill?fault=upstream-down`, { method: "POST" })).status,
      403,
    );
  });

  test("all workers behave so, and the command needs not live until the end", async () => {
    const service = await startService((_request, response) => void response.end("ok"));
    const crew = await startCrew({
      policy: { plugins: [] },
      upstream: service.url,
      env: { OUTRIGGER_DRILLS: "on" },
    });
    try {
      await eventually("ready", async () => (await crew.ready()) === 200);
      const ask = async (): Promise<number> => {
        const response = await fetch(crew.url, { headers: { Connection: "close" } });
        await response.text();
        return response.status;
      };
      const begun = await fetch(`${crew.adminUrl}/drill?fault=upstream-down&for=1s`, { method: "POST" });
      assert.equal(begun.status, 202);
      await eventually("both know", async () => {
        const answers = await Promise.all(Array.from({ length: 4 }, ask));
        return answers.every((answer) => answer === 502);
      });
      await eventually("it is over", async () => {
        const { last } = drillStatus.parse(await (await fetch(`${crew.adminUrl}/drill`)).json());
        return last?.routes.some(({ statuses }) => (statuses["502"] ?? 0) >= 4) === true;
      });
      assert.deepEqual(await Promise.all(Array.from({ length: 4 }, ask)), [200, 200, 200, 200]);
    } finally {
      await crew.stop();
      service.close();
    }
  });

  test("one that is ended while it is asked for does not begin, by Ctrl-C neither", async () => {
    const service = await startService((_request, response) => void response.end("ok"));
    const crew = await startCrew({
      policy: { plugins: [] },
      upstream: service.url,
      env: { OUTRIGGER_DRILLS: "on" },
    });
    try {
      await eventually("both have served", async () => {
        await (await fetch(crew.url, { headers: { Connection: "close" } })).text();
        return crew.pids().size === 2;
      });
      const running = async () =>
        drillStatus.parse(await (await fetch(`${crew.adminUrl}/drill`)).json()).running;
      // One that is asked what it has counted so far, and does not answer yet.
      const [pid = 0] = crew.pids().values();
      process.kill(pid, "SIGSTOP");
      const args = ["drill", "upstream-down", "--admin", adminOf(crew), "--for", "5m"];
      const { child, end } = startNode([mainFile, ...args]);
      await eventually("it is asked for", async () => (await running()) !== null);
      child.kill("SIGINT");
      const { code, stderr } = await end;
      process.kill(pid, "SIGCONT");
      assert.equal(code, 1, stderr);
      assert.match(stderr, /It was ended before it began/);
      await eventually("none goes on", async () => (await running()) === null);
      const answer = await fetch(crew.url);
      assert.deepEqual([answer.status, await answer.text()], [200, "ok"]);
      assert.deepEqual(
        crew.lines().filter(({ msg }) => String(msg).startsWith("a drill begins")),
        [],
      );
    } finally {
      await crew.stop();
      service.close();
    }
  });
});

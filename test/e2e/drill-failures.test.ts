// Checks README's table of failures ("When something fails") with drills: for each row that a drill can cause, every
// promise is checked in the answers that clients get and in the drill's report. A promise that is added to the table
// but not checked here makes this test fail.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { TokenIssuer } from "../plugins/auth/token-issuer.ts";
import { drilled, rowOf } from "../support/drill.ts";
import { pluginWith } from "../support/plugins.ts";
import { killed, mainFile, passedOn } from "../support/process.ts";
import { eventually, freePort, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

/** Holds that a row promises this and nothing else. @param what first cell @param elsewhere what no drill brings about */
function promised(what: string, shown: readonly string[], elsewhere: readonly string[] = []): void {
  const row = readme.split("\n").find((line) => line.startsWith(`| ${what} | `));
  assert.ok(row !== undefined, `README has no row "${what}"`);
  let rest = row.slice(`| ${what} | `.length, -" |".length);
  for (const promise of [...shown, ...elsewhere]) {
    assert.ok(rest.includes(promise), `"${what}" no more promises "${promise}": ${rest}`);
    rest = rest.replace(promise, "");
  }
  assert.match(rest, /^[;, ]*$/, `"${what}" promises what no drill is held against`);
}

const quick = (limitMs: number | undefined) =>
  Object.freeze({
    ...(limitMs !== undefined && { timeLimitMs: { onRequest: limitMs } }),
    onRequest: () => Promise.resolve(undefined),
  });
const limited = (onStoreError: string, limit: number) => ({
  "rate-limit": {
    limits: [{ name: onStoreError, by: "ip", limit, window: "1h", mode: "exact" }],
    onStoreError,
  },
});

describe("what README's table of failures promises, as drills show it", () => {
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
        { path: "/limit-open", plugins: ["rate-limit"], pluginConfig: limited("open", 1) },
        { path: "/limit-closed", plugins: ["rate-limit"], pluginConfig: limited("closed", 1_000) },
        { path: "/limit-local", plugins: ["rate-limit"], pluginConfig: limited("local", 2) },
        { path: "/cached", plugins: ["cache"], pluginConfig: { cache: { ttlSeconds: 300 } } },
        { path: "/keys", plugins: ["auth"], pluginConfig: { auth: { apiKeys: { onStoreError: "deny" } } } },
        { path: "/stale", plugins: ["auth"], pluginConfig: { auth: { apiKeys: { onStoreError: "stale" } } } },
        { path: "/tokens", plugins: ["auth"], pluginConfig: { auth: { jwt } } },
        ...["fails-open", "fails-closed", "fails-late"].map((name) => ({
          path: `/${name}`,
          plugins: [name],
        })),
      ],
    };
    await redis.cli.set("outrigger:policy", JSON.stringify(policy));
    for (const key of ["seen", "unseen"]) {
      const id = createHash("sha256").update(key).digest("hex");
      await redis.cli.set(`outrigger:apikey:${id}`, JSON.stringify({ id: key, userId: "u1", scopes: [] }));
    }
    sidecar = await startSidecar({
      plugins: [
        pluginWith("fails-open", quick(50), { failMode: "open" }),
        pluginWith("fails-closed", quick(50), { failMode: "closed" }),
        pluginWith("fails-late", quick(undefined), { failMode: "closed" }),
      ],
      upstream: (_request, response) => void response.end("ok"),
      redisUrl: redis.url,
      env: { OUTRIGGER_DRILLS: "on" },
    });
    await eventually("the policy is in force", async () => (await ask("/plain")).status === 200);
  });
  after(async () => {
    await sidecar.stop();
    await redis.close();
    issuer.close();
  });

  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${sidecar.url}${path}`, { headers });
    await response.text();
    return response;
  };
  const statuses = async (path: string, times: number, headers: Record<string, string> = {}) => {
    const found: number[] = [];
    for (let i = 0; i < times; i += 1) found.push((await ask(path, headers)).status);
    return found;
  };
  const key = (name: string) => ({ "X-API-Key": name });
  const keyLookups = async () =>
    /^outrigger_auth_key_lookups_total\S* (\d+)/m.exec(await sidecar.metrics())?.[1];

  for (const fault of ["redis-down", "redis-slow=2000ms"])
    test(`${fault}: nobody waits for Redis, and what needs it is 503`, async () => {
      promised("Redis goes away, or answers too late", [
        "the policy in force goes on",
        "rate limits count by `onStoreError`",
        "the cache goes on from memory",
        "API keys that only Redis knows are 503 (`onStoreError: deny`)",
        "or accepted if they were seen good lately (`stale`)",
      ]);
      await eventually("a good key has been seen, and no change of keys meanwhile", async () => {
        const before = await keyLookups();
        assert.deepEqual(await statuses("/stale", 1, key("seen")), [200]);
        return before !== undefined && (await keyLookups()) === before;
      });
      await ask("/cached");
      const report = await drilled(sidecar, fault, async () => {
        assert.deepEqual(await statuses("/plain", 2), [200, 200]);
        assert.deepEqual(await statuses("/limit-open", 2), [200, 200]);
        assert.deepEqual(await statuses("/limit-closed", 2), [503, 503]);
        assert.equal((await statuses("/limit-local", 3)).at(-1), 429);
        assert.equal((await ask("/cached")).headers.get("x-cache"), "HIT");
        assert.deepEqual(await statuses("/keys", 1, key("unseen")), [503]);
        assert.deepEqual(await statuses("/stale", 1, key("seen")), [200]);
      });
      const closed = rowOf(report, "/limit-closed");
      assert.deepEqual(closed?.statuses, { 503: 2 });
      assert.deepEqual(closed.answeredBy, { "rate-limit: dependency_unavailable": 2 });
      const said = ["limit-open", "limit-closed", "limit-local", "keys", "stale"].map(
        (path) => rowOf(report, `/${path}`)?.declared,
      );
      assert.deepEqual(said, [
        ["rate-limit: onStoreError=open"],
        ["rate-limit: onStoreError=closed"],
        ["rate-limit: onStoreError=local"],
        ["auth: apiKeys.onStoreError=deny"],
        ["auth: apiKeys.onStoreError=stale"],
      ]);
      assert.deepEqual(rowOf(report, "/cached")?.answeredBy, { cache: 1 });
    });

  test("upstream-down: 502, but for what the cache has", async () => {
    promised(
      "the service refuses the connection, closes it early, or sends an invalid response",
      ["502"],
      [
        // test/e2e/retry.test.ts
        "a request that went into a connection which the service had just closed is sent once more where that is safe",
        "where it is not (`POST`), the sidecar looks first whether the connection still stands",
        // test/support/transport/unsolicited.ts
        "bytes that nobody asked for end their connection, and from then on every request to that service looks first",
        "what comes once the next request is out cannot be told from its answer",
      ],
    );
    await ask("/cached");
    const report = await drilled(sidecar, "upstream-down", async () => {
      assert.deepEqual(await statuses("/plain", 2), [502, 502]);
      assert.equal((await ask("/cached")).status, 200);
    });
    assert.deepEqual(rowOf(report, "/plain")?.answeredBy, { upstream_refused: 2 });
    assert.deepEqual(rowOf(report, "/plain")?.declared, ["502, unless a plugin answers"]);
    assert.deepEqual(rowOf(report, "/cached")?.statuses, { 200: 1 });
  });

  test("issuer-down: known keys go on, what nobody can tell is 503", async () => {
    promised(
      "an issuer of tokens is out of reach",
      ["tokens by keys of its that are known go on", "those of which nobody can tell are 503"],
      // test/plugins/auth/login
      ["and so are new logins"],
    );
    const known = { Authorization: `Bearer ${await issuer.sign()}` };
    assert.deepEqual(await statuses("/tokens", 1, known), [200]);
    const next = await issuer.rotate("next", "keep");
    const unknown = { Authorization: `Bearer ${await issuer.sign({}, { key: next })}` };
    const again = { Authorization: `Bearer ${await issuer.sign({ jti: "another" })}` };
    const report = await drilled(sidecar, "issuer-down", async () => {
      assert.deepEqual(await statuses("/tokens", 1, again), [200]);
      assert.deepEqual(await statuses("/tokens", 1, unknown), [503]);
    });
    const row = rowOf(report, "/tokens");
    assert.deepEqual(row?.statuses, { 200: 1, 503: 1 });
    assert.deepEqual(row.answeredBy, { "auth: dependency_unavailable": 1 });
    assert.deepEqual(row.declared, ["auth: 503 for tokens that it cannot tell of"]);
  });

  test("plugin-slow: cut off at its limit, open goes on and is left out, closed is 503", async () => {
    promised("a plugin throws, hangs or is slow", [
      "only that request is affected: the plugin is cut off after 2 s unless it sets another limit",
      "`failMode: open` goes on without it, `closed` is 503",
      "one that fails open and hangs five times in a row is left out for a while (log, `outrigger_plugin_left_out_total`)",
    ]);
    const open = await drilled(sidecar, "plugin-slow=fails-open", async () => {
      assert.deepEqual(await statuses("/fails-open", 6), [200, 200, 200, 200, 200, 200]);
      assert.match(
        await sidecar.metrics(),
        /^outrigger_plugin_left_out_total\{.*plugin="fails-open".*\} [1-9]/m,
      );
    });
    assert.deepEqual(rowOf(open, "/fails-open")?.declared, ["fails-open: failMode=open"]);
    const closed = await drilled(sidecar, "plugin-slow=fails-closed", async () => {
      const [slow, plain] = await Promise.all([statuses("/fails-closed", 1), statuses("/plain", 1)]);
      assert.deepEqual([slow, plain], [[503], [200]]);
    });
    assert.deepEqual(rowOf(closed, "/fails-closed")?.answeredBy, { "fails-closed: plugin_failed": 1 });
    const late = await drilled(sidecar, "plugin-slow=fails-late", async () => {
      const startedMono = performance.now();
      assert.deepEqual(await statuses("/fails-late", 1), [503]);
      assert.ok(performance.now() - startedMono >= 1_990);
    });
    assert.deepEqual(rowOf(late, "/fails-late")?.declared, ["fails-late: failMode=closed"]);
  });
});

test("disk-full: log lines wait, and are written whole once there is room", async () => {
  promised(
    "stdout is a file on a full disk",
    ["lines wait", "and are written whole once there is room", "a line then says how many were lost"],
    // test/unit/telemetry/file-stream.test.ts
    ["up to 8 MiB"],
  );
  const folder = mkdtempSync(join(tmpdir(), "outrigger-drill-"));
  const file = join(folder, "log");
  const fd = openSync(file, "a");
  const [port, admin] = [await freePort(), await freePort()];
  const env = {
    ...passedOn,
    OUTRIGGER_LISTEN: `127.0.0.1:${port}`,
    OUTRIGGER_ADMIN: `127.0.0.1:${admin}`,
    OUTRIGGER_UPSTREAM: "http://127.0.0.1:9",
    OUTRIGGER_DRILLS: "on",
  };
  const child = spawn(process.execPath, [mainFile, "run"], { env, stdio: ["ignore", fd, "ignore"] });
  closeSync(fd);
  try {
    const ask = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status;
    const messages = () =>
      readFileSync(file, "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    const pathsOf = () => messages().flatMap(({ path }) => (typeof path === "string" ? [path] : []));
    await eventually("it serves", async () => (await ask("/before").catch(() => 0)) === 502);
    await eventually("its line is written", () => pathsOf().includes("/before"));
    const report = await drilled({ adminUrl: `http://127.0.0.1:${admin}` }, "disk-full", async () => {
      for (let i = 0; i < 20; i += 1) assert.equal(await ask(`/meanwhile/${i}`), 502);
      assert.ok(!pathsOf().some((path) => path.startsWith("/meanwhile")));
    });
    const [row] = report.routes;
    assert.deepEqual(row?.statuses, { 502: 20 });
    assert.deepEqual(row.declared, [
      "goes on: log lines and records wait, and nothing is kept for the next start",
    ]);
    const isTold = ({ msg }: Record<string, unknown>) => msg === "stdout accepts log lines again";
    await eventually("the log goes on", () => messages().some(isTold));
    assert.equal(messages().find(isTold)?.["lostLines"], 0);
    const written = pathsOf().filter((path) => path.startsWith("/meanwhile"));
    assert.deepEqual(
      written,
      Array.from({ length: 20 }, (_, i) => `/meanwhile/${i}`),
    );
    child.kill("SIGTERM");
    await once(child, "exit");
  } finally {
    await killed(child);
    rmSync(folder, { recursive: true });
  }
});

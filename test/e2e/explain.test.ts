// `outrigger explain` as an operator uses it: for requests that went through a real sidecar, for requests that only the
// log in Redis still has, and for requests that have not happened.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { outrigger } from "../support/process.ts";
import { startRedis } from "../support/redis.ts";

// SHA-256 of "secret".
const sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
const policy = {
  plugins: ["logging", "auth", "rate-limit", "cache", "transform"],
  pluginConfig: {
    auth: {
      apiKeys: { keys: [{ sha256, id: "k1", userId: "u1", plan: "pro", scopes: ["read"] }] },
      rules: [
        { name: "writers", path: "/api/*", methods: ["DELETE"], allow: { scopes: { all: ["write"] } } },
      ],
    },
    "rate-limit": { limits: [{ name: "one", by: "subject", limit: 7, window: "1h" }] },
    cache: { ttlSeconds: 60 },
  },
  routes: [
    { path: "/api/*", methods: ["GET", "DELETE"] },
    { path: "/api/*", methods: ["POST"] },
    { path: "/other", retry: {} },
    { path: "/*" },
  ],
};

interface Shown {
  readonly route: string | null;
  readonly choice: { others: { path: string; why: string }[]; elsewhere: number } | null;
  readonly policy: { inForce: boolean; revision?: number };
  readonly outcome: Record<string, unknown>;
  readonly identity: Record<string, unknown> | null;
  readonly upstream: { askedAtMs: number[] } | null;
  readonly hooks: {
    plugin: string;
    phase: string;
    decision: string;
    because: string | null;
    facts: Record<string, unknown>;
    fields: { set: string[]; removed: string[] };
  }[];
}

const hook = ({ hooks }: Shown, plugin: string, phase = "onRequest") =>
  hooks.find((each) => each.plugin === plugin && each.phase === phase);

describe("outrigger explain REQUEST-ID", () => {
  let sidecar: TestSidecar;
  const host = () => sidecar.adminUrl.slice("http://".length);
  before(async () => {
    // The end of a connection that was kept is nothing yet: it may have ended before.
    let flaky = 0;
    const upstream: RequestListener = ({ url, socket }, response) => {
      if (url === "/other" && (flaky += 1) <= 2) socket.destroy();
      else response.writeHead(url === "/other" ? 205 : 200).end(url === "/other" ? "" : "ok");
    };
    sidecar = await startSidecar({ policy, upstream });
  });
  after(() => sidecar.stop());

  /** What is known of a request, asked for with these fields. */
  async function explained(id: string, path: string, init: { method?: string } = {}): Promise<Shown> {
    const headers = {
      "X-Api-Key": "secret",
      Cookie: "marked-cookie=1",
      "X-User-Id": "evil",
    };
    const answer = await fetch(`${sidecar.url}${path}`, {
      ...init,
      headers: { ...headers, "X-Request-Id": id },
    });
    await answer.text();
    await sidecar.line((line) => line["requestId"] === id);
    const { code, stdout, stderr } = await outrigger(["explain", id, "--admin", host(), "--json"]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.doesNotMatch(stdout, /marked|evil|"secret"/);
    return (JSON.parse(stdout) as { requests: [Shown] }).requests[0];
  }

  test("names the route and why not the others, the limit with what is left, the cache's freshness, and fields", async () => {
    const first = await explained("miss", "/api/items?token=marked-token");
    assert.equal(first.route, "/api/*");
    assert.deepEqual(first.choice, {
      others: [
        { path: "/api/*", methods: ["POST"], why: "it takes POST" },
        { path: "/*", methods: null, why: "/api/* is more specific" },
      ],
      furtherOthers: 0,
      elsewhere: 1,
    } as never);
    assert.equal(first.policy.inForce, true);
    assert.equal(first.identity?.["userId"], "u1");
    assert.deepEqual(hook(first, "auth")?.fields.removed, ["x-api-key"]);
    assert.deepEqual(hook(first, "transform")?.fields.set, ["x-user-id", "x-user-plan", "x-user-scopes"]);
    const { limit, of, left } = hook(first, "rate-limit")?.facts ?? {};
    assert.deepEqual([limit, of, left], ["one", 7, 6]);
    assert.equal(hook(first, "cache")?.facts["missed"], "uri-miss");
    assert.equal(first.upstream?.askedAtMs.length, 1);
    const second = await explained("hit", "/api/items?token=marked-token");
    assert.equal(hook(second, "cache")?.decision, "answered");
    const { ageSeconds, freshForSeconds } = hook(second, "cache")?.facts ?? {};
    assert.ok(Number(freshForSeconds) + Number(ageSeconds) >= 59, JSON.stringify(hook(second, "cache")));
    assert.equal(second.upstream, null);
  });

  test("names the rule and the condition of a refusal, and what was not come to", async () => {
    const refused = await explained("refused", "/api/items/7", { method: "DELETE" });
    const auth = hook(refused, "auth");
    assert.deepEqual([auth?.decision, auth?.because], ["refused", "rule writers: scopes"]);
    assert.deepEqual(auth?.facts, { rule: "writers", condition: "scopes" });
    const { stdout } = await outrigger(["explain", "refused", "--admin", host()]);
    for (const text of [
      "DELETE /api/items/7",
      "403",
      "not come to: rate-limit, cache, transform",
      "not /*: ",
    ])
      assert.ok(stdout.includes(text), stdout);
    assert.match(stdout, /removed on the way in: .*x-user-id/);
  });

  test("tells each time that the service was asked, and lays nothing on plugins that the sidecar did", async () => {
    const headers = { "X-Api-Key": "secret", "X-Request-Id": "flaky" };
    const answer = await fetch(`${sidecar.url}/other`, { headers });
    await answer.text();
    await sidecar.line((line) => line["requestId"] === "flaky");
    const { stdout } = await outrigger(["explain", "flaky", "--admin", host(), "--json"]);
    const [shown] = (JSON.parse(stdout) as { requests: [Shown] }).requests;
    assert.equal(answer.status, 205);
    assert.ok((shown.upstream?.askedAtMs.length ?? 0) > 1, stdout);
    const set = shown.hooks.flatMap(({ fields }) => fields.set);
    assert.deepEqual(
      ["x-user-id", "x-cache", "traceparent", "content-length"].map((name) => set.includes(name)),
      [true, true, false, false],
    );
  });

  test("says so where the request is not known, and where nobody answers", async () => {
    const unknown = await outrigger(["explain", "nobody", "--admin", host()]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /does not know it/);
    assert.match(
      unknown.stderr,
      /last 1,000 requests.*more than 200 a second only those.*name others with --admin/,
    );
    const nobody = await outrigger(["explain", "nobody", "--admin", "127.0.0.1:1"]);
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /127\.0\.0\.1:1: .*ECONNREFUSED/);
    assert.equal((await outrigger(["explain"])).code, 2);
    assert.equal((await outrigger(["explain", "x", "--admin", "no-port"])).code, 2);
  });

  test("is for this machine or the admin token", async () => {
    const answer = await fetch(`${sidecar.adminUrl}/requests/miss`, {
      headers: { "X-Forwarded-For": "192.0.2.1" },
    });
    assert.equal(answer.status, 403);
    assert.equal((await fetch(`${sidecar.adminUrl}/requests/%`)).status, 400);
  });
});

test("what only the log in Redis knows is told from there", async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  const line = { requestId: "old-1", status: 502, method: "GET", path: "/x", service: "shop" };
  await redis.cli.zadd("outrigger:fleet:seen", Date.now(), "shop");
  await redis.cli.xadd("outrigger:logs:shop", "*", "line", JSON.stringify(line));
  const env = { REDIS_URL: redis.url, OUTRIGGER_ADMIN: "127.0.0.1:1" };
  const { code, stdout } = await outrigger(["explain", "old-1", "--json"], env);
  assert.equal(code, 0);
  assert.equal((JSON.parse(stdout) as { log: { status: number } }).log.status, 502);
  const none = await outrigger(["explain", "old-2"], env);
  assert.deepEqual([none.code, /No log stream in Redis has it/.test(none.stderr)], [1, true]);
});

describe("outrigger explain --request", () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-explain-"));
  after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "policy.json");
  writeFileSync(file, JSON.stringify({ apiVersion: "outrigger/v1", ...policy }));
  const foresee = (...args: string[]) => outrigger(["explain", "--policy", file, "--json", ...args]);

  test("says how it would go, for a caller who is assumed", async () => {
    const { code, stdout } = await foresee(
      "--request",
      "DELETE /api/items/7",
      "--header",
      "X-User-Id: evil",
      "--identity",
      '{"userId":"u2","scopes":["read"]}',
    );
    assert.equal(code, 0);
    const shown = JSON.parse(stdout) as Shown & { droppedFields: string[] };
    assert.deepEqual([shown.route, shown.outcome["status"]], ["/api/*", 403]);
    assert.equal(hook(shown, "auth")?.because, "rule writers: scopes");
    assert.deepEqual(shown.droppedFields, ["x-user-id"]);
    const allowed = await foresee("--request", "/api/a", "--identity", '{"userId":"u2"}');
    const { upstream, hooks } = JSON.parse(allowed.stdout) as Shown;
    assert.deepEqual([upstream?.askedAtMs.length, hooks.length > 5], [1, true]);
  });

  test("refuses what is no request, naming the part", async () => {
    for (const [args, problem] of [
      [["--request", "GET"], /path: must begin with \//],
      [["--request", "GET /a", "--header", "nothing"], /--header takes/],
      [["--request", "GET /a", "--identity", "[]"], /identity/],
      [["--request", "GET /a", "--identity", "{"], /--identity takes/],
    ] as const) {
      const { code, stderr } = await foresee(...args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, problem);
    }
    const { code, stdout } = await foresee("--request", "GET /../../%00");
    assert.deepEqual([code, (JSON.parse(stdout) as { status: number }).status], [0, 400]);
  });
});

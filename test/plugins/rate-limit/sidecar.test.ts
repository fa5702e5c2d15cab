// Limits through a running sidecar without Redis: what callers see.
import assert from "node:assert/strict";
import type http from "node:http";
import { test, type TestContext } from "node:test";
import { parseList, type InnerList, type Item } from "structured-headers";
import { rateLimit } from "../../../plugins/rate-limit/index.ts";
import { registry as builtIn } from "../../../plugins/index.ts";
import { policyField, writeFields } from "../../../plugins/rate-limit/fields.ts";
import type { Reservation, Limit } from "../../../plugins/rate-limit/limit.ts";
import { MemoryCounts } from "../../../plugins/rate-limit/counting/memory-counts.ts";
import { LiveResponse } from "../../../src/runtime/response.ts";
import { reservationOf, limitOf, TestClock } from "../../support/rate-limit.ts";
import { eventually } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

const registry = [...builtIn.filter(({ name }) => name !== "rate-limit"), rateLimit];
const keys = { alice: "alice-key", bob: "bob-key", carol: "carol-key" };
const plans = { alice: "pro", bob: "free", carol: "unheard-of" };

async function sha256(text: string): Promise<string> {
  return Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(text))).toString("hex");
}

/** A sidecar with one rate-limit configuration, and API keys of alice (pro), bob (free) and carol (of no known plan). */
async function sidecarOf(
  t: TestContext,
  options: Record<string, unknown>,
  upstream: http.RequestListener = (_request, response) => response.end("ok"),
  more: Record<string, unknown> = {},
): Promise<TestSidecar> {
  const apiKeys = await Promise.all(
    Object.entries(keys).map(async ([userId, key]) => ({
      sha256: await sha256(key),
      id: `k-${userId}`,
      userId,
      plan: plans[userId as keyof typeof plans],
      scopes: [],
    })),
  );
  const sidecar = await startSidecar({
    policy: {
      plugins: ["logging", "auth", "rate-limit", "transform"],
      pluginConfig: {
        auth: { required: false, apiKeys: { headers: ["x-api-key"], keys: apiKeys } },
        "rate-limit": options,
      },
      ...more,
    },
    upstream,
    registry,
  });
  t.after(() => sidecar.stop());
  return sidecar;
}

const as = (who: keyof typeof keys): RequestInit => ({ headers: { "x-api-key": keys[who] } });

async function statuses(
  sidecar: TestSidecar,
  count: number,
  init?: RequestInit,
  path = "/",
): Promise<number[]> {
  const seen: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const answer = await fetch(sidecar.url + path, init);
    await answer.arrayBuffer();
    seen.push(answer.status);
  }
  return seen;
}

const items = (text: string | null): [unknown, Record<string, unknown>][] =>
  parseList(text ?? "").map((member: Item | InnerList) => [member[0], Object.fromEntries(member[1])]);

test("the request over the limit gets 429, with when to come back and the draft's problem document", async (t) => {
  const sidecar = await sidecarOf(t, { limits: [{ name: "per-caller", by: "ip", limit: 2, window: "1m" }] });
  assert.deepEqual(await statuses(sidecar, 2), [200, 200]);
  const refused = await fetch(sidecar.url);
  assert.equal(refused.status, 429);
  const retryAfter = Number(refused.headers.get("retry-after"));
  assert.ok(retryAfter >= 29 && retryAfter <= 30, `${retryAfter}`);
  assert.equal(refused.headers.get("content-type"), "application/problem+json");
  assert.equal(refused.headers.get("proxy-status"), "outrigger; error=http_request_denied");
  const problem = (await refused.json()) as Record<string, unknown>;
  assert.equal(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
  assert.deepEqual(problem["violated-policies"], ["per-caller"]);
  assert.equal(problem["error"], "Rate limit exceeded");
  assert.equal(problem["code"], "rate_limited");
  const line = await sidecar.line((one) => one["msg"] === "request" && one["status"] === 429);
  assert.equal(line["refusedBecause"], "limit per-caller");
  assert.match(
    await sidecar.metrics(),
    /^outrigger_rate_limit_total\{.*limit="per-caller",result="refused".*\} 1$/m,
  );
  assert.match(
    await sidecar.metrics(),
    /^outrigger_rate_limit_total\{.*limit="per-caller",result="allowed".*\} 2$/m,
  );
});

test("every answer carries RateLimit and RateLimit-Policy as structured fields; the tightest limit speaks", async (t) => {
  const sidecar = await sidecarOf(t, {
    limits: [
      { name: "minute", by: "ip", limit: 50, window: "1m", algorithm: "fixed" },
      { name: "smooth", by: "ip", limit: 100, window: "1m", burst: 3 },
    ],
  });
  const answers = [];
  for (let i = 0; i < 4; i += 1) answers.push(await fetch(sidecar.url));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 429],
  );
  for (const [index, { headers }] of answers.entries()) {
    assert.deepEqual(items(headers.get("ratelimit-policy")), [
      ["minute", { q: 50, w: 60 }],
      ["smooth", { q: 100, w: 60, "outrigger-burst": 3 }],
    ]);
    const [[name, parameters] = []] = items(headers.get("ratelimit"));
    assert.equal(name, "smooth");
    assert.equal(parameters?.["r"], Math.max(0, 2 - index));
    assert.equal(parameters?.["t"], 1);
    assert.ok(Number(headers.get("retry-after") ?? 1) >= 1);
    assert.equal(headers.get("x-ratelimit-limit"), null);
  }
});

const quota = (name: string, limit: number, window: string): Limit =>
  limitOf({ name, limit, window, algorithm: "fixed" });

test("the fields are those of the draft's own examples", () => {
  const policies = policyField([quota("permin", 50, "1m"), quota("perhr", 1000, "1h")]);
  assert.deepEqual(items(policies), items('"permin";q=50;w=60,"perhr";q=1000;w=3600'));
  const clock = new TestClock();
  clock.epochMs = Date.UTC(2026, 0, 1, 10, 0, 30);
  const limit = quota("default", 100, "1m");
  const reservations = Array.from({ length: 50 }, () => reservationOf(limit));
  for (const reservation of reservations)
    new MemoryCounts(clock).take([reservation], ({ limit: { table } }) => table.rule);
  const response = LiveResponse.fromVerdict({ action: "respond", status: 200 });
  writeFields(response, reservations[49] as Reservation, policies, { standard: true, legacy: false });
  assert.equal(response.fields.get("ratelimit"), '"default";r=50;t=30');
});

test("the service's own RateLimit stays beside ours, and the fields of old come when asked for", async (t) => {
  const sidecar = await sidecarOf(
    t,
    {
      limits: [{ name: "ours", by: "ip", limit: 5, window: "1m", algorithm: "fixed" }],
      headers: { legacy: true },
    },
    (_request, response) => response.setHeader("RateLimit", '"theirs";r=1;t=2').end(),
  );
  const { headers } = await fetch(sidecar.url);
  assert.deepEqual(
    items(headers.get("ratelimit")).map(([name]) => name),
    ["theirs", "ours"],
  );
  assert.equal(headers.get("x-ratelimit-limit"), "5");
  assert.equal(headers.get("x-ratelimit-remaining"), "4");
  assert.ok(Number(headers.get("x-ratelimit-reset")) <= 60);
});

test("callers are told apart by who they are, and by address when they say nothing", async (t) => {
  const sidecar = await sidecarOf(t, { limits: [{ name: "caller", by: "subject", limit: 1, window: "1h" }] });
  assert.deepEqual(await statuses(sidecar, 2, as("alice")), [200, 429]);
  assert.deepEqual(await statuses(sidecar, 2, as("bob")), [200, 429]);
  assert.deepEqual(await statuses(sidecar, 2), [200, 429]);
});

test("plans have limits of their own, one of the same name takes the common one's place, an unknown plan is the default", async (t) => {
  const sidecar = await sidecarOf(t, {
    limits: [{ name: "minute", by: "subject", limit: 2, window: "1h" }],
    plans: {
      pro: [{ name: "minute", by: "subject", limit: 4, window: "1h" }],
      free: [{ name: "day", by: "subject", limit: 1, window: "1d", algorithm: "fixed" }],
    },
    defaultPlan: "free",
  });
  assert.deepEqual(await statuses(sidecar, 5, as("alice")), [200, 200, 200, 200, 429]);
  assert.deepEqual(await statuses(sidecar, 2, as("bob")), [200, 429]);
  assert.deepEqual(await statuses(sidecar, 2, as("carol")), [200, 429]);
  const { headers } = await fetch(sidecar.url, as("bob"));
  assert.deepEqual(
    items(headers.get("ratelimit-policy")).map(([name]) => name),
    ["minute", "day"],
  );
});

test("a limit counts over all routes that name it, apart by route when it says so, and only what it is about", async (t) => {
  const sidecar = await sidecarOf(
    t,
    {
      limits: [
        { name: "all", by: "ip", limit: 4, window: "1h" },
        { name: "each", by: ["ip", "route"], limit: 3, window: "1h" },
        { name: "writes", by: "ip", limit: 1, window: "1h", when: { methods: ["POST"] } },
      ],
    },
    undefined,
    { routes: [{ path: "/a/*" }, { path: "/b/*" }] },
  );
  assert.deepEqual(await statuses(sidecar, 4, undefined, "/a/x"), [200, 200, 200, 429]);
  assert.deepEqual(await statuses(sidecar, 1, { method: "POST" }, "/b/x"), [200]);
  assert.deepEqual(await statuses(sidecar, 1, { method: "POST" }, "/b/x"), [429]);
  assert.deepEqual(await statuses(sidecar, 1, undefined, "/b/x"), [429], "the fourth of /a never counted");
});

test("a dry run refuses nothing and counts what it would have refused", async (t) => {
  const sidecar = await sidecarOf(t, {
    dryRun: true,
    limits: [{ name: "tried", by: "ip", limit: 1, window: "1h" }],
  });
  assert.deepEqual(await statuses(sidecar, 3), [200, 200, 200]);
  assert.match(await sidecar.metrics(), /limit="tried",result="would_refuse".*\} 2$/m);
});

test("a changed policy keeps what callers have used", async (t) => {
  const limit = { name: "kept", by: "ip", limit: 3, window: "1h", algorithm: "fixed" };
  const sidecar = await sidecarOf(t, { limits: [limit] });
  assert.deepEqual(await statuses(sidecar, 4), [200, 200, 200, 429]);
  const grown = {
    plugins: ["rate-limit"],
    pluginConfig: { "rate-limit": { limits: [{ ...limit, limit: 5 }] } },
  };
  sidecar.setPolicy(grown);
  let admitted = 0;
  await eventually("the new policy refuses, too", async () => {
    const { headers, status } = await fetch(sidecar.url, { method: "HEAD" });
    if (!headers.get("ratelimit-policy")?.includes("q=5")) return false;
    if (status === 200) admitted += 1;
    return status === 429;
  });
  assert.equal(admitted, 2, "three of the five were used before");
});

const problems = (value: unknown): string[] =>
  (rateLimit.options.safeParse(value).error?.issues ?? []).map(({ path }) => path.join("."));
const one = (facts: Record<string, unknown>): unknown => ({
  limits: [{ name: "n", by: "ip", limit: 1, window: "1s", ...facts }],
});

test("options that cannot work are refused with their paths", () => {
  assert.deepEqual(problems(one({})), []);
  assert.deepEqual(problems(one({ limit: 0 })), []);
  for (const window of ["1s", "59m", "1h", "1d", "1M"])
    assert.deepEqual(problems(one({ window })), [], window);
  for (const limit of [-1, Number.NaN, 1.5, "10", null, Infinity])
    assert.deepEqual(problems(one({ limit })), ["limits.0.limit"]);
  for (const window of ["0s", "", "1", "s", "1w", "-1s", "2M", "1.5h", 60, "99d"]) {
    assert.deepEqual(problems(one({ window })), ["limits.0.window"], String(window));
  }
  for (const by of [
    "",
    "IP",
    "claim:",
    "claim:a..b",
    "header:",
    "header:a b",
    "claims",
    [],
    ["ip", "x"],
    null,
  ]) {
    assert.match(problems(one({ by }))[0] ?? "", /^limits\.0\.by/, JSON.stringify(by));
  }
  for (const burst of [0, -1, 0.5]) assert.deepEqual(problems(one({ burst })), ["limits.0.burst"]);
  assert.deepEqual(problems(one({ burst: 5, algorithm: "fixed" })), ["limits.0.burst"]);
  assert.deepEqual(problems(one({ burst: 1_000_000_000, window: "1d" })), ["limits.0.burst"]);
  assert.deepEqual(problems(one({ cost: 2 })), ["limits.0.cost"]);
  assert.deepEqual(problems(one({ name: 'a"b' })), ["limits.0.name"]);
  assert.deepEqual(problems(one({ nosuch: 1 })), ["limits.0"]);
  const twice = { name: "n", limit: 1, window: "1s" };
  assert.deepEqual(problems({ limits: [twice, twice] }), ["limits.1.name"]);
  assert.deepEqual(problems({ plans: { free: [{ ...twice, limit: -1 }] } }), ["plans.free.0.limit"]);
  assert.deepEqual(problems({ defaultPlan: "gold" }), ["defaultPlan"]);
  assert.deepEqual(problems({ concurrency: { limit: 0 } }), ["concurrency.limit"]);
});

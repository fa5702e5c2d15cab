// Checks the table of deploy/guides/personal-data.md with real requests: unique values are sent in each part of a
// request, and searched for in every place, in clear and as digests.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { TokenIssuer } from "../plugins/auth/token-issuer.ts";
import { cookieOf, loggedIn, loginAt, openShop, provider, shop, type Shop } from "../security/login-site.ts";
import { type AuditPlace, auditPlace } from "../support/audit.ts";
import { type Collector, startCollector } from "../support/collector.ts";
import { outrigger } from "../support/process.ts";
import { eventually, type RedisServer } from "../support/redis.ts";
import { columns, sent, sha256, shownIn, tableOf } from "../support/planted.ts";
import { inScene, type Scene } from "../support/scene.ts";

interface Sent {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Site {
  readonly redis: RedisServer;
  readonly issuer: TokenIssuer;
  readonly place: AuditPlace;
  readonly collector: Collector;
  readonly stateFolder: string;
  readonly shop: Shop;
}

/** Fields that the line of one route is to have. */
const asked = ["x-anything", "cookie", "x-api-key"];

const policyFor = (issuer: TokenIssuer, login: object) => ({
  apiVersion: "outrigger/v1",
  plugins: ["logging", "ip-filter", "auth", "rate-limit", "cache", "transform"],
  audit: { mode: "blocking" },
  tracing: { sampleRatio: 1 },
  pluginConfig: {
    logging: { stream: true, slowMs: 1 },
    "ip-filter": { deny: ["192.0.2.0/24"] },
    auth: {
      apiKeys: {},
      jwt: { login, issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audience: ["api"] }] },
    },
    "rate-limit": {
      limits: ["subject", "claim:email", "ip"].map((by, at) => {
        return { name: `limit-${at}`, by, limit: 1000, window: "1d", algorithm: "fixed", mode: "exact" };
      }),
    },
    cache: { ttlSeconds: 60 },
  },
  routes: [
    { path: "/own/*", pluginConfig: { logging: { query: true, headers: asked, stream: false } } },
    { path: "/*" },
  ],
});

async function open(scene: Scene, place: AuditPlace): Promise<Site> {
  const redis = await scene.redis();
  const issuer = await TokenIssuer.start();
  const collector = await startCollector();
  scene.after(() => collector[Symbol.asyncDispose]());
  const at = await provider(scene, { user: sent("user"), claims: { email: sent("claim") } });
  const stateFolder = mkdtempSync(join(tmpdir(), "outrigger-state-"));
  scene.after(() => rmSync(stateFolder, { recursive: true, force: true }));
  const record = { id: sent("key id"), userId: sent("user"), scopes: [] };
  await redis.cli.set(`outrigger:apikey:${sha256(sent("credential")).digest("hex")}`, JSON.stringify(record));
  const policy = policyFor(issuer, loginAt(at, { sessions: "redis" }));
  await redis.cli.set("outrigger:policy", JSON.stringify(policy));
  const site = await openShop(scene, {
    policy,
    redisUrl: redis.url,
    answer: (request, response) => {
      const who = request.url?.startsWith("/own/") === true ? "" : "public, ";
      response.setHeader("Cache-Control", `${who}max-age=60`);
      response.end(sent("response"));
    },
    env: {
      ...place.env,
      OUTRIGGER_SERVICE: "shop",
      OUTRIGGER_INSTANCE: "pod-1",
      OUTRIGGER_STATE_DIR: stateFolder,
      OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1/32",
      OUTRIGGER_AUDIT_SINKS: "file,redis,otlp",
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: "10",
    },
  });
  await site.sidecar.line(({ msg }) => msg === "policy in force");
  return { redis, issuer, place, collector, stateFolder, shop: site };
}

function send(site: Site, folder: string, init: Sent = {}): Promise<Response> {
  return fetch(`${site.shop.sidecar.url}/${folder}/${sent("path")}?name=${sent("query")}`, {
    ...init,
    headers: {
      "x-forwarded-for": sent("address"),
      "user-agent": sent("user agent"),
      "x-anything": sent("field"),
      cookie: `crumb=${sent("cookie")}`,
      "x-request-id": "request-1",
      ...init.headers,
    },
  });
}

/** All kinds of callers, and of ends. */
async function use(site: Site): Promise<void> {
  const key = { "x-api-key": sent("credential") };
  for (const folder of ["all", "own"]) assert.equal((await send(site, folder, { headers: key })).status, 200);
  assert.equal(
    (await send(site, "all", { method: "POST", body: sent("request"), headers: key })).status,
    200,
  );
  const token = await site.issuer.sign({ sub: sent("user"), email: sent("claim") });
  for (const folder of ["all", "own"])
    assert.equal((await send(site, folder, { headers: { authorization: `Bearer ${token}` } })).status, 200);
  assert.equal(
    (await send(site, "all", { headers: { "x-api-key": `wrong-${sent("credential")}` } })).status,
    401,
  );
  await beRefusedEarly(site.shop);
  const ended = cookieOf(await loggedIn(site.shop, `/all/${sent("path")}`));
  await loggedIn(site.shop, `/all/${sent("path")}`);
  const fields = ["Cookie", ended, "Origin", shop];
  assert.equal((await site.shop.ask({ path: "/oauth2/logout", method: "POST", fields })).status, 303);
}

/** Never an exchange: its path cannot be decoded. */
async function beRefusedEarly({ sidecar }: Shop): Promise<void> {
  const socket = net.connect({ port: sidecar.port, host: "127.0.0.1", localAddress: sent("address") });
  const fields = [
    "Host: a",
    "Connection: close",
    `User-Agent: ${sent("user agent")}`,
    `X-Api-Key: ${sent("credential")}`,
    `Cookie: a=${sent("cookie")}`,
    `X-Anything: ${sent("field")}`,
    "Content-Length: 19",
  ];
  const head = `POST /all/${sent("path")}%zz?name=${sent("query")} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`;
  socket.end(head + sent("request"));
  await once(socket.resume(), "close");
}

/** What operators do, under their name, and what they do about persons. */
async function operate(site: Site): Promise<void> {
  const env = {
    ...site.place.env,
    OUTRIGGER_SERVICE: "shop",
    REDIS_URL: site.redis.url,
    OUTRIGGER_AUTHOR: sent("author"),
  };
  const policy = join(site.stateFolder, "..", `${basename(site.stateFolder)}.json`);
  writeFileSync(policy, (await site.redis.cli.get("outrigger:policy")) ?? "");
  try {
    for (const args of [
      ["policy", "apply", policy, "--reason", "none"],
      ["plugins", "disable", "transform", "--reason", "none"],
      ["sessions", "revoke", "--user", sent("user")],
    ]) {
      const { code, stderr } = await outrigger(args, env);
      assert.equal(code, 0, stderr);
    }
  } finally {
    rmSync(policy);
  }
}

/** What a tap shows of one more request. */
async function tapped(site: Site): Promise<string> {
  const { adminUrl } = site.shop.sidecar;
  const stop = new AbortController();
  const tap = await fetch(`${adminUrl}/tap`, { signal: stop.signal });
  const reader = (tap.body as ReadableStream<Uint8Array>).getReader();
  await send(site, "all", { headers: { "x-api-key": sent("credential") } });
  let text = "";
  while (!text.includes('"status":200'))
    text += Buffer.from((await reader.read()).value ?? []).toString("latin1");
  stop.abort();
  return text;
}

/** Everything that Redis holds, names included, by the kind of key. */
async function inRedis({ cli }: RedisServer): Promise<Map<string, string>> {
  const places = new Map<string, string>();
  for (const key of await cli.keys("*")) {
    const type = await cli.type(key);
    const value =
      type === "string"
        ? (await cli.getBuffer(key))?.toString("latin1")
        : type === "hash"
          ? await cli.hgetall(key)
          : type === "stream"
            ? await cli.xrange(key, "-", "+")
            : await cli.zrange(key, "0", "-1");
    const name = key
      .replace(/^outrigger:/, "")
      .replace(/^(audit:)?([a-z-]+):shop\b/, "$1$2:<service>")
      .replace(/^audit:shop/, "audit:<service>")
      .replace(/(?<=^(rl|cache):<service>:(?:e:)?)\{.*/, "…")
      .replace(
        /(?<=^(fleet:<service>|audit:<service>:(keys|heads|[a-z-]+)|apikey|keyuse|session[a-z-]*):).*/,
        "…",
      );
    const place = `Redis \`${name}\``;
    places.set(place, `${places.get(place) ?? ""}${key} ${JSON.stringify(value)}\n`);
  }
  return places;
}

const opened = "`audit search`, with the audit key";
/** Places of the audit trail: whoever has the key reads there what `audit search` shows. */
const sealing = new Set(["`OUTRIGGER_AUDIT_FILE`", "audit records (OTLP)", "Redis `audit:<service>`"]);
const isAccess = ({ msg }: Record<string, unknown>): boolean => msg === "request";
const isAsked = ({ path }: Record<string, unknown>): boolean => String(path).startsWith("/own/");

const written = (received: readonly unknown[]): string =>
  JSON.stringify(received, (_name, value: unknown) => (typeof value === "bigint" ? String(value) : value));

/** The texts of all places. */
async function gathered(site: Site): Promise<Map<string, string>> {
  const { sidecar } = site.shop;
  const spans = (): string => written(site.collector.spans);
  await eventually("the spans", () => spans().includes("401"));
  const tap = await tapped(site);
  const explained = await (await fetch(`${sidecar.adminUrl}/requests/request-1`)).text();
  const metrics = await sidecar.metrics();
  const state = await (await fetch(`${sidecar.adminUrl}/policy`)).text();
  await sidecar.stop();
  const env = { ...site.place.env, OUTRIGGER_SERVICE: "shop", REDIS_URL: site.redis.url };
  const search = await outrigger(["audit", "search", "--json", site.place.file], env);
  assert.equal(search.code, 0, search.stderr);
  const linesOf = (isOf: (line: Record<string, unknown>) => boolean): string =>
    JSON.stringify(sidecar.lines.filter(isOf));
  const files = readdirSync(site.stateFolder).map((name) =>
    readFileSync(join(site.stateFolder, name), "latin1"),
  );
  assert.ok(files.length > 0);
  return new Map([
    ["access log", linesOf((line) => isAccess(line) && !isAsked(line))],
    ["access log, with `query` and `headers`", linesOf((line) => isAccess(line) && isAsked(line))],
    ["the sidecar's own log", linesOf((line) => !isAccess(line))],
    ["`GET /metrics`", metrics],
    ["`GET /requests/<id>`, `explain`", explained],
    ["`GET /tap`, `tap`", tap],
    ["`GET /policy`", state],
    ["spans (OTLP)", spans()],
    ["`OUTRIGGER_AUDIT_FILE`", readFileSync(site.place.file, "utf8")],
    ["audit records (OTLP)", written(site.collector.logs)],
    [opened, search.stdout],
    ["`OUTRIGGER_STATE_DIR`", files.join("\n")],
    ...(await inRedis(site.redis)),
  ]);
}

test("every place holds what the table says of it, and no other place anything", async () => {
  using place = auditPlace();
  const { places, issuer } = await inScene(20_000, async (scene) => {
    const site = await open(scene, place);
    await use(site);
    // Before sessions are revoked and heartbeats are taken back.
    const before = await inRedis(site.redis);
    await operate(site);
    const places = await gathered(site);
    for (const [name, text] of before) places.set(name, text + (places.get(name) ?? ""));
    return { places, issuer: site.issuer.url };
  });
  const search = places.get(opened) as string;
  const cellOf = (name: string, text: string, column: string): string => {
    const shown = shownIn(text, sent(column), issuer);
    if (shown === "" && sealing.has(name) && search.includes(sent(column))) return "sealed";
    return shown;
  };
  const shown = new Map(
    [...places].map(([name, text]) => [name, columns.map((column) => cellOf(name, text, column))]),
  );
  if (process.argv.includes("--write"))
    for (const [name, cells] of shown) console.log(`| ${[name, ...cells].join(" | ")} |`);
  const guide = readFileSync(join(import.meta.dirname, "../../deploy/guides/personal-data.md"), "utf8");
  const table = tableOf(guide);
  for (const [name, cells] of shown) assert.deepEqual(table.get(name), cells, `${name}: node FILE --write`);
  // What holds nothing of persons need not have been made.
  const idle = [...table].filter(([name, cells]) => !shown.has(name) && cells.some((cell) => cell !== ""));
  assert.deepEqual(idle, [], "rows of places that are not there");
});

// All plugins on one route, on a real Redis: the other plugins and the client see the effect of each.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { startRedis, type RedisServer } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const key = "a-key-made-by-hand";
const record = `outrigger:apikey:${createHash("sha256").update(key).digest("hex")}`;
const zipped = gzipSync(Buffer.from("zipped ".repeat(100)));

describe("all plugins together", () => {
  let redis: RedisServer;
  let sidecar: TestSidecar;
  let asked = 0;
  beforeEach(async () => {
    asked = 0;
    redis = await startRedis();
    await redis.cli.set(
      record,
      JSON.stringify({ id: "k1", userId: "u1", plan: "pro", scopes: ["read", "write"] }),
    );
    await redis.cli.set(
      "outrigger:policy",
      JSON.stringify({
        apiVersion: "outrigger/v1",
        plugins: ["transform", "cache", "rate-limit", "auth", "cors", "logging"],
        pluginConfig: {
          cors: { origins: ["https://app.example"] },
          auth: { exclude: ["/health"] },
          "rate-limit": {
            limits: [
              { name: "few", by: "subject", limit: 6, window: "1h", algorithm: "fixed", mode: "exact" },
            ],
          },
          transform: { addHeaders: { "X-Forwarded-User": "$userId" } },
        },
      }),
    );
    sidecar = await startSidecar({
      redisUrl: redis.url,
      upstream: (request, response) => {
        asked += 1;
        response.setHeader("X-Powered-By", "something old");
        if (request.url === "/zipped") {
          response.setHeader("Content-Encoding", "gzip");
          response.setHeader("Set-Cookie", ["a=1", "b=2; HttpOnly"]);
          response.end(zipped);
          return;
        }
        response.setHeader("Cache-Control", "max-age=60");
        response.end(JSON.stringify(request.headers));
      },
    });
  });
  afterEach(async () => {
    await sidecar.stop();
    await redis.close();
  });
  const ask = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(sidecar.url + path, { headers });

  it("without a credential: 401 as a problem that a browser may read, and nothing reaches the service", async () => {
    const answer = await ask("/a", { origin: "https://app.example" });
    assert.equal(answer.status, 401);
    assert.equal(((await answer.json()) as { error: string }).error, "Authentication required");
    assert.equal(answer.headers.get("access-control-allow-origin"), "https://app.example");
    assert.ok(answer.headers.get("x-request-id"));
    assert.equal(asked, 0);
  });

  it("a known key: the service learns who calls, and not how it was shown", async () => {
    const answer = await ask("/a", { "x-api-key": key });
    assert.equal(answer.status, 200);
    const heard = (await answer.json()) as Record<string, string>;
    assert.equal(heard["x-user-id"], "u1");
    assert.equal(heard["x-user-plan"], "pro");
    assert.equal(heard["x-user-scopes"], "read write");
    assert.equal(heard["x-forwarded-user"], "u1");
    assert.equal(heard["x-api-key"], undefined);
    assert.equal(answer.headers.get("x-cache"), "MISS");
    assert.equal(answer.headers.get("x-powered-by"), null);
    assert.match(answer.headers.get("ratelimit") ?? "", /^"few";r=5;/);
  });

  it("the second time the cache answers, and the limit still counts", async () => {
    await (await ask("/a", { "x-api-key": key })).arrayBuffer();
    const answer = await ask("/a", { "x-api-key": key });
    assert.equal(answer.headers.get("x-cache"), "HIT");
    assert.match(answer.headers.get("ratelimit") ?? "", /^"few";r=4;/);
    assert.equal(asked, 1);
    await sidecar.line((line) => line["cacheStatus"] === "HIT" && line["userId"] === "u1");
  });

  it("compressed bytes and cookies pass untouched", async () => {
    const answer = await ask("/zipped", { "x-api-key": key });
    assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2; HttpOnly"]);
    assert.equal(await answer.text(), "zipped ".repeat(100));
  });

  it("an excluded path is open by its path, not by what stands in its query", async () => {
    assert.equal((await ask("/health")).status, 200);
    assert.equal((await ask("/a?x=/health")).status, 401);
    assert.equal((await ask("/healthy")).status, 401);
    assert.equal((await ask("/a/../health")).status, 200);
  });

  it("over the limit: 429 with Retry-After, logged with the caller", async () => {
    for (let i = 0; i < 6; i += 1) await (await ask("/a", { "x-api-key": key })).arrayBuffer();
    const answer = await ask("/a", { "x-api-key": key });
    assert.equal(answer.status, 429);
    assert.ok(Number(answer.headers.get("retry-after")) > 0);
    const line = await sidecar.line((entry) => entry["status"] === 429);
    assert.equal(line["userId"], "u1");
  });

  it("a key that was deleted is refused within a second", async () => {
    assert.equal((await ask("/a", { "x-api-key": key })).status, 200);
    await redis.cli.del(record);
    const startedMono = performance.now();
    while ((await ask("/a", { "x-api-key": key })).status !== 401) {
      assert.ok(performance.now() - startedMono < 5_000);
      await delay(5);
    }
  });

  it("Redis dead: an unknown key is 503, never 401", async () => {
    await redis.kill();
    await sidecar.line((line) => /Redis: out of reach/.test(String(line["msg"])));
    const answer = await ask("/a", { "x-api-key": "another-key" });
    assert.equal(answer.status, 503);
    assert.equal(((await answer.json()) as { error: string }).error, "Service unavailable");
  });
});

describe("a response that transform made personal", () => {
  it("is nobody else's: the cache does not keep it, though the service says public", async () => {
    const sidecar = await startSidecar({
      policy: {
        plugins: ["cache", "transform"],
        pluginConfig: { transform: { addResponseHeaders: { "X-Served-As": "$requestId" } } },
      },
      upstream: (_request, response) => {
        response.setHeader("Cache-Control", "public, max-age=60");
        response.end("ok");
      },
    });
    for (const id of ["one", "two"]) {
      const answer = await fetch(sidecar.url, { headers: { "x-request-id": id } });
      assert.equal(answer.headers.get("x-served-as"), id);
      assert.equal(answer.headers.get("x-cache"), "MISS");
    }
    await sidecar.stop();
  });
});

describe("a stored answer that is validated again and again", () => {
  it("costs one connection to the service, not one each time", async () => {
    let connections = 0;
    let validations = 0;
    const sidecar = await startSidecar({
      policy: { plugins: ["cache"] },
      upstream: (request, response) => {
        response.setHeader("Cache-Control", "no-cache");
        response.setHeader("ETag", '"1"');
        if (request.headers["if-none-match"] === undefined) {
          response.end("stored");
          return;
        }
        validations += 1;
        response.statusCode = 304;
        response.end();
      },
    });
    sidecar.service?.on("connection", () => (connections += 1));
    for (let i = 0; i < 6; i += 1) assert.equal(await (await fetch(sidecar.url)).text(), "stored");
    assert.equal(validations, 5);
    assert.equal(connections, 1);
    await sidecar.stop();
  });
});

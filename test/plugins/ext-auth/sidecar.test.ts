// ext-auth through a running sidecar, behind auth and before the cache.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import { eventually } from "../../support/redis.ts";
import { startSidecar } from "../../support/sidecar.ts";
import { result, startDecider } from "./endpoint.ts";

const key = "good";

test("fields of its answer come from it alone, on every route, and the service hears who calls", async () => {
  await using decider = await startDecider(({ headers }, response) => {
    if (headers["x-key"] === undefined) return response.writeHead(403).end();
    return response.writeHead(200, { "X-Team": `team-${String(headers["x-key"])}`, "X-Who": "u1" }).end();
  });
  await using sidecar = await startSidecar({
    policy: {
      plugins: ["ext-auth", "cache", "transform"],
      pluginConfig: {
        "ext-auth": {
          url: decider.url,
          input: ["path", "header:x-key"],
          fields: ["X-Team"],
          identity: { userId: "X-Who" },
        },
        cache: { ttlSeconds: 60, respectOrigin: false },
      },
      routes: [{ path: "/*" }, { path: "/open/*", plugins: ["transform"] }],
    },
    upstream: ({ headers }, response) =>
      response.end(`${String(headers["x-team"])} ${String(headers["x-user-id"])}`),
  });
  const get = async (path: string, more: Record<string, string> = {}): Promise<string> => {
    const headers = { "X-Team": "forged", X_Team: "forged", ...more };
    const answer = await fetch(sidecar.url + path, { headers });
    return `${answer.status} ${answer.ok ? await answer.text() : ""}`.trim();
  };
  assert.equal(await get("/a"), "403");
  assert.equal(await get("/a", { "X-Key": "1" }), "200 team-1 u1");
  assert.equal(await get("/a", { "X-Key": "2" }), "200 team-2 u1", "not the other's out of the cache");
  assert.equal(await get("/open/a"), "200 undefined undefined");
  assert.equal(await get("/a%2Fb", { "X-Key": "1" }), "400");
});

test("a stream ends when it would not be let in any more, and not for an outage", async () => {
  let allow: unknown = true;
  await using decider = await startDecider((_asked, response) => {
    if (allow === "away") response.destroy();
    else result(response, allow);
  });
  await using sidecar = await startSidecar({
    env: { OUTRIGGER_RECHECK_MS: "100" },
    policy: {
      plugins: ["auth", "ext-auth"],
      pluginConfig: {
        auth: { apiKeys: { keys: [{ sha256: hash("sha256", key, "hex"), id: "k1", userId: "u1" }] } },
        "ext-auth": { url: decider.url, protocol: "opa", input: ["identity"] },
      },
    },
    upstream: (_request, response) => response.writeHead(200).write("begun"),
  });
  const stream = await fetch(sidecar.url, { headers: { "X-API-Key": key } });
  const reader = stream.body?.getReader() ?? assert.fail();
  await reader.read();
  const ended = reader.read().then(
    ({ done }) => done,
    () => true,
  );
  await eventually("questions", () => Promise.resolve(decider.asked.length > 2));
  for (const { body } of decider.asked) assert.match(body, /"userId":"u1"/);
  allow = "away";
  const before = decider.asked.length;
  await eventually("a question", () => Promise.resolve(decider.asked.length > before));
  assert.equal(await Promise.race([ended, Promise.resolve(false)]), false);
  allow = false;
  assert.equal(await ended, true);
});

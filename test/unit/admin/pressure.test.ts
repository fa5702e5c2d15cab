// The admin listener under floods: metrics are rendered rarely, pipelining is refused, and one client leaves room for
// others.
import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { createAdmin } from "../../../src/admin/admin.ts";
import { sparingly } from "../../../src/admin/pressure.ts";
import { connectRaw } from "../../support/raw-http.ts";
import { eventually } from "../../support/redis.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

async function start(render: () => Promise<string>, maxConnections = 8) {
  const admin = createAdmin({
    listen: { host: "127.0.0.1", port: 0 },
    maxConnections,
    token: () => undefined,
    logger: quiet,
    checks: () => [],
    metrics: { render },
    policyStatus: () => ({}),
    plugins: () => Promise.resolve({ plugins: [] }),
    request: () => Promise.resolve(undefined),
    tap: { read: () => ({ forMs: 1_000 }), start: () => () => {}, begun() {}, slow: { inc: () => {} } },
    logLevel: { get: () => "info", set: () => true },
    drain() {},
    quit() {},
  });
  const { port } = (await admin.listen()) as AddressInfo;
  return { admin, port };
}

test("metrics asked for at the same time are rendered once, and ten times a second at most", async () => {
  let renders = 0;
  let nowMs = 0;
  const render = sparingly(
    () => Promise.resolve(`text ${(renders += 1)}`),
    () => nowMs,
  );
  assert.deepEqual(new Set(await Promise.all([render(), render(), render()])), new Set(["text 1"]));
  for (let i = 0; i < 20; i += 1) await render();
  assert.equal(renders, 10);
  assert.equal(await render(), "text 10");
  nowMs = 100;
  assert.equal(await render(), "text 11", "there is one again");
  assert.equal(await render(), "text 11");
});

test("a render that fails is not kept", async () => {
  let fails = true;
  const render = sparingly(() => (fails ? Promise.reject(new Error("no")) : Promise.resolve("text")));
  await assert.rejects(render());
  fails = false;
  assert.equal(await render(), "text");
});

test("a flood of pipelined requests ends its connection and costs no renders", async () => {
  let renders = 0;
  const { admin, port } = await start(() => Promise.resolve(`metrics ${(renders += 1)}\n`.repeat(10_000)));
  const flood = await connectRaw(port);
  flood.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_800));
  await flood.closed;
  assert.ok(renders <= 1, `${renders} renders`);
  const client = await connectRaw(port);
  for (const path of ["/livez", "/metrics", "/livez"]) {
    client.send(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    assert.equal((await client.answer()).status, 200, "one after the other is served on one connection");
  }
  client.end();
  await admin.close();
});

test("one address has half of the connections", async () => {
  const { admin, port } = await start(() => Promise.resolve(""), 8);
  const clients = await Promise.all(Array.from({ length: 8 }, () => connectRaw(port)));
  let closed = 0;
  for (const { closed: over } of clients) void over.then(() => (closed += 1));
  await eventually("four are closed", () => closed === 4);
  clients.forEach((client) => client.socket.destroy());
  await admin.close();
});

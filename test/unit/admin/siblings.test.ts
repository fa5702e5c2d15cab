// Clients that hold up the admin listener with TLS or with silence, and how long a proven sibling counts as one.
import assert from "node:assert/strict";
import { type AddressInfo, connect } from "node:net";
import tls from "node:tls";
import { after, test } from "node:test";
import { createAdmin } from "../../../src/admin/admin.ts";
import type { SiblingTls } from "../../../src/admin/siblings.ts";
import { makeAuthority } from "../../plugins/auth/authority.ts";
import { connected } from "../../support/fronts.ts";
import { connectRaw, requestText } from "../../support/raw-http.ts";
import { eventually } from "../../support/redis.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const authority = makeAuthority();
after(() => authority.close());
const id = "spiffe://shop.example/orders";
const { cert, key } = authority.issue("own", `URI:${id}`);

async function start(endOf: SiblingTls["endOf"]) {
  const siblings: SiblingTls = { id, cert, key, ca: authority.cert, endOf };
  const admin = createAdmin({
    listen: { host: "127.0.0.1", port: 0 },
    token: () => undefined,
    siblings: () => siblings,
    logger: quiet,
    checks: () => [],
    metrics: { render: () => Promise.resolve("") },
    policyStatus: () => ({}),
    signedPolicy: () => ({}),
    plugins: () => Promise.resolve({ plugins: [] }),
    request: () => Promise.resolve(undefined),
    tap: { read: () => ({ forMs: 1_000 }), start: () => () => {}, begun() {}, slow: { inc: () => {} } },
    logLevel: { get: () => "info", set: () => true },
    drain() {},
    quit() {},
  });
  return { admin, port: ((await admin.listen()) as AddressInfo).port };
}

test("a certificate that ends while its connection goes on is a sibling's no more", async () => {
  const { admin, port } = await start(() => Date.now() + 300);
  const options = { port, host: "127.0.0.1", ca: authority.cert, cert, key };
  const client = await connected(
    tls.connect({ ...options, checkServerIdentity: () => undefined }),
    "secureConnect",
  );
  const statusOf = async (): Promise<number> => {
    // Of another machine's name: loopback alone opens nothing then.
    client.send("GET /policy/signed HTTP/1.1\r\nHost: admin.example\r\n\r\n");
    return (await client.answer()).status;
  };
  assert.equal(await statusOf(), 200);
  await eventually("it is over", async () => (await statusOf()) === 403);
  client.socket.destroy();
  await admin.close();
});

test("who says nothing, or begins a handshake and no more, is ended by itself", async () => {
  const { admin, port } = await start(() => undefined);
  const silent = await connectRaw(port);
  const begun = await connectRaw(port);
  // The first byte of a record of a handshake.
  begun.socket.write(Buffer.from([0x16]));
  const garbage = await connectRaw(port);
  garbage.socket.write(Buffer.concat([Buffer.from([0x16]), Buffer.alloc(64, 0xff)]));
  await Promise.all([silent.closed, begun.closed, garbage.closed]);
  assert.equal((await fetch(`http://127.0.0.1:${port}/livez`)).status, 200);
  await admin.close();
});

test("who leaves, in clear or in the handshake, takes nothing along", async () => {
  const { admin, port } = await start(() => undefined);
  for (const bytes of [[], [0x16], [0x16, 3, 1], [0x47]])
    for (const leave of ["end", "resetAndDestroy"] as const) {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      await new Promise((resolve) => socket.once("connect", resolve));
      if (bytes.length > 0) await new Promise((resolve) => socket.write(Buffer.from(bytes), resolve));
      socket[leave]();
      socket.resume();
      await new Promise((resolve) => socket.once("close", resolve));
    }
  assert.equal((await fetch(`http://127.0.0.1:${port}/livez`)).status, 200);
  await admin.close();
});

test("who is silent does not hold up its end", async () => {
  const { admin, port } = await start(() => undefined);
  const silent = await connectRaw(port);
  // It has been accepted once one that came later is answered.
  assert.equal((await fetch(`http://127.0.0.1:${port}/livez`)).status, 200);
  const begunMono = performance.now();
  await admin.close();
  assert.ok(performance.now() - begunMono < 4_500, "closed at once");
  await silent.closed;
});

test("a request whose head comes in parts is read as one", async () => {
  const { admin, port } = await start(() => undefined);
  const client = await connectRaw(port);
  client.socket.setNoDelay(true);
  for (const part of requestText("GET", "/livez", []).match(/.{1,3}/gs) ?? [])
    await new Promise((resolve) => client.socket.write(part, resolve));
  assert.equal((await client.answer()).status, 200);
  client.socket.destroy();
  await admin.close();
});

import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { peersOf } from "../../../src/app/policy-peers.ts";
import { loadConfig } from "../../../src/app/environment.ts";

let answers = 0;
const sibling = http.createServer((_request, response) => {
  answers += 1;
  response.end(JSON.stringify({ service: "orders", shared: "{}", layer: null, keySets: [] }));
});
after(() => sibling.close());

test("of more siblings than are asked at once each is asked sooner or later", async () => {
  await new Promise<void>((resolve) => sibling.listen(0, "127.0.0.1", resolve));
  const { port } = sibling.address() as AddressInfo;
  // Nobody listens at the others.
  const dead = Array.from({ length: 64 }, (_, i) => ({ host: `127.1.1.${i + 1}`, port }));
  const config = {
    ...loadConfig({ OUTRIGGER_SERVICE: "orders" }),
    peers: [...dead, { host: "127.0.0.1", port }],
  };
  const ask = peersOf(config, () => undefined);
  for (let tries = 0; tries < 20; tries += 1) {
    await ask?.().catch(() => {});
    if (answers > 0) break;
  }
  assert.equal(answers, 1);
});

test("siblings that send all they may, all at once, are given up and hide nobody", async (t) => {
  let asked = 0;
  const liars = http.createServer((_request, response) => {
    asked += 1;
    // And never ends.
    response.write(Buffer.alloc(1_048_576, " "));
  });
  await new Promise<void>((resolve) => liars.listen(0, "0.0.0.0", resolve));
  t.after(() => {
    liars.closeAllConnections();
    liars.close();
  });
  const { port } = liars.address() as AddressInfo;
  const lying = Array.from({ length: 16 }, (_, i) => ({ host: `127.1.1.${i + 1}`, port }));
  const config = { ...loadConfig({ OUTRIGGER_SERVICE: "orders" }), policyMaxBytes: 1_024 };
  const ask = (peers: typeof lying) => peersOf({ ...config, peers }, () => undefined)?.();
  // Of 16 MiB it has room for 4.
  await assert.rejects(
    async () => await ask(lying),
    /a signed policy: (?:[^;]*: answers with the most of too much(?:; |$)){5}$/,
  );
  const found = await ask([...lying, { host: "127.0.0.1", port: (sibling.address() as AddressInfo).port }]);
  assert.deepEqual([found?.length, asked], [1, 32]);
});

test("of answers no more are kept than there is room for, the shortest", async (t) => {
  const many = http.createServer((request, response) => {
    const last = Number((request.socket.localAddress ?? "").split(".").at(-1));
    const shared = "s".repeat(last > 8 ? last : 900_000 + last);
    response.end(JSON.stringify({ service: "orders", shared, layer: null, keySets: [] }));
  });
  await new Promise<void>((resolve) => many.listen(0, "0.0.0.0", resolve));
  t.after(() => many.close());
  const { port } = many.address() as AddressInfo;
  const peers = Array.from({ length: 12 }, (_, i) => ({ host: `127.1.2.${i + 1}`, port }));
  const config = { ...loadConfig({ OUTRIGGER_SERVICE: "orders" }), policyMaxBytes: 1_024, peers };
  const found = await peersOf(config, () => undefined)?.();
  const lengths = (found ?? []).map(({ shared }) => shared.length).toSorted((a, b) => a - b);
  assert.deepEqual(lengths.slice(0, 4), [9, 10, 11, 12]);
  assert.ok(lengths.length <= 8, `${lengths.length} answers`);
});

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

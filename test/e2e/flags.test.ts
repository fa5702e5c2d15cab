// Plugins that the policy runs for a part of the callers only, as clients see it.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type http from "node:http";
import { after, before, test } from "node:test";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const key = (name: string, plan: string) => ({
  sha256: createHash("sha256").update(name).digest("hex"),
  id: name,
  userId: name,
  plan,
});
const policy = {
  plugins: ["auth", "cache", "transform"],
  pluginConfig: {
    auth: { required: false, apiKeys: { keys: [key("ann", "pro"), key("bob", "free")] } },
    transform: { addResponseHeaders: { "x-new": "yes" } },
  },
  routes: [
    { path: "/segment/*", pluginConfig: { transform: { flag: { when: { plan: "pro" } } } } },
    { path: "/share/*", pluginConfig: { transform: { flag: { percent: 50 } } } },
    { path: "/*" },
  ],
};
let asked = 0;
const service: http.RequestListener = (_request, response) => {
  asked += 1;
  response.setHeader("cache-control", "public, max-age=60").end("ok");
};

let sidecar: TestSidecar;
before(async () => {
  const env = { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1/32" };
  sidecar = await startSidecar({ policy, upstream: service, env });
});
after(() => sidecar.stop());

async function has(path: string, headers: Record<string, string> = {}): Promise<boolean> {
  const answer = await fetch(sidecar.url + path, { headers });
  await answer.text();
  assert.equal(answer.status, 200);
  return answer.headers.get("x-new") === "yes";
}
const from = (address: string) => ({ "x-forwarded-for": address });

test("a segment has it, others have not, and neither gets what is kept for the other", async () => {
  const callers = [{ "x-api-key": "ann" }, { "x-api-key": "bob" }, {}];
  for (let round = 0; round < 2; round += 1) {
    const found: boolean[] = [];
    for (const headers of callers) found.push(await has("/segment/a", headers));
    assert.deepEqual(found, [true, false, false]);
  }
  assert.equal(asked, 2, "one answer for those who have it, one for the others");
});

test("a share of addresses has it, always the same, on every path", async () => {
  const addresses = Array.from({ length: 40 }, (_, i) => from(`192.0.2.${i}`));
  const look = (path: string) => Promise.all(addresses.map((headers) => has(path, headers)));
  const first = await look("/share/a");
  assert.deepEqual(await look("/share/b"), first);
  const count = first.filter(Boolean).length;
  assert.ok(count > 5 && count < 35, String(count));
});

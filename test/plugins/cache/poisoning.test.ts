// A request cannot have stored, where others find it, what the service answered to something that they did not send.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type AskOptions, startBench } from "./harness.ts";

interface Attempt {
  /** Whether the service's answer says that it depends on the field. */
  readonly vary?: string;
  readonly evil: NonNullable<AskOptions["headers"]>;
  readonly victim: NonNullable<AskOptions["headers"]>;
}

const behindProxy = { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1/32" };
const client = "203.0.113.9";

const attempts: Readonly<Record<string, Attempt>> = {
  "an empty member of a field that is no list": {
    vary: "X-Tenant",
    evil: { "x-tenant": ",acme" },
    victim: { "x-tenant": "acme" },
  },
  "a second, empty line of such a field": {
    vary: "X-Tenant",
    evil: { "x-tenant": ["acme", ""] },
    victim: { "x-tenant": "acme" },
  },
  "a weight that is none": {
    vary: "Accept",
    evil: { accept: "text/html;q=0x1" },
    victim: { accept: "text/html" },
  },
  "the host in a Forwarded that a trusted proxy lets through": {
    evil: { "x-forwarded-for": client, forwarded: `for=${client};host=evil.example` },
    victim: { "x-forwarded-for": client, forwarded: `for=${client}` },
  },
  "a host within the quotes of an address": {
    evil: { "x-forwarded-for": client, forwarded: `for=${client};by="_a;host=evil.example"` },
    victim: { "x-forwarded-for": client },
  },
  "a user that a proxy in front tells": {
    evil: { "x-forwarded-for": client, "x-forwarded-user": "ann" },
    victim: { "x-forwarded-for": client, "x-forwarded-user": "bob" },
  },
};

for (const [what, { vary, evil, victim }] of Object.entries(attempts)) {
  test(`not by ${what}`, async () => {
    const bench = await startBench({
      env: behindProxy,
      service(_request, response, count) {
        response.writeHead(200, {
          "Cache-Control": "max-age=60",
          ...(vary === undefined ? {} : { Vary: vary }),
        });
        response.end(`answer ${count}`);
      },
    });
    try {
      assert.equal((await bench.ask("/x", { headers: evil })).text, "answer 1");
      assert.equal((await bench.ask("/x", { headers: victim })).text, "answer 2");
      assert.equal((await bench.ask("/x", { headers: victim })).cache, "HIT");
    } finally {
      await bench.stop();
    }
  });
}

test("who only comes from another address finds what was stored", async () => {
  const bench = await startBench({
    env: { ...behindProxy, OUTRIGGER_FORWARDED_FIELD: "forwarded" },
    service: (_request, response) => response.writeHead(200, { "Cache-Control": "max-age=60" }).end(),
  });
  try {
    for (const [index, node] of ["192.0.2.1", `"[2001:db8::1]:4711"`, "_hidden", "unknown"].entries()) {
      const headers = { forwarded: `for=${node};host=api.example;by=203.0.113.1;proto=http` };
      assert.equal((await bench.ask("/x", { headers })).cache, index === 0 ? "MISS" : "HIT", node);
    }
  } finally {
    await bench.stop();
  }
});

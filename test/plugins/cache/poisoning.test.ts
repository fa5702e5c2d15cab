// A request cannot have stored, where others find it, what the service answered to something that they did not send.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type AskOptions, startBench, until, withState } from "./harness.ts";

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

const takers: Readonly<Record<string, NonNullable<AskOptions["headers"]>>> = {
  "a token of their own": { authorization: "Bearer x" },
  "a token that the service refuses": { authorization: "Bearer refused" },
  "a cookie that makes the answer private": { cookie: "session=1" },
  "a field that the service refuses": { accept: "x/y" },
};

for (const [what, headers] of Object.entries(takers)) {
  test(`nobody takes away what is stored for all, with ${what}`, async () => {
    const bench = await startBench({
      service({ headers: asked, url }, response) {
        const control = asked.cookie === undefined ? "max-age=60" : "private, max-age=60";
        const fields = { "Cache-Control": control };
        if (asked.authorization === "Bearer refused") response.writeHead(401);
        else if (asked.accept === "x/y") response.writeHead(406);
        else if (asked["if-none-match"] !== undefined) response.writeHead(304, fields);
        // With a tag for one path, so that the entry is validated there, too.
        else response.writeHead(200, url === "/tag" ? { ...fields, ETag: '"1"' } : fields);
        response.end();
      },
    });
    try {
      for (const target of ["/plain", "/tag"]) {
        await bench.ask(target);
        await bench.ask(target, { headers: { ...headers, "cache-control": "no-cache" } });
        await bench.ask(target, { method: "HEAD", headers: { ...headers, "cache-control": "no-cache" } });
        assert.equal((await bench.ask(target)).cache, "HIT", target);
      }
    } finally {
      await bench.stop();
    }
  });
}

test("nor when theirs is the request that starts a refresh", async () => {
  const { plugin, state } = withState();
  const bench = await startBench({
    plugin,
    service: (_request, response) =>
      response.writeHead(200, { "Cache-Control": "max-age=10, stale-while-revalidate=600" }).end(),
  });
  try {
    await bench.ask("/x");
    bench.clock.advanceSeconds(20);
    assert.equal((await bench.ask("/x", { headers: { authorization: "Bearer x" } })).cache, "STALE");
    await until("the refresh", () => bench.asked.length === 2 && state().refreshing.size === 0);
    assert.equal((await bench.ask("/x")).cache, "STALE");
    await until("the next", () => bench.asked.length === 3 && state().refreshing.size === 0);
    assert.equal((await bench.ask("/x")).cache, "HIT");
  } finally {
    await bench.stop();
  }
});

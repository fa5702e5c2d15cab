// The redirect plugin: rules on single exchanges, and through a running sidecar.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { redirect } from "../../../plugins/redirect/index.ts";
import type { Verdict } from "../../../src/plugin-api/contract.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { exchangeOf, type ExchangeFacts } from "../../support/exchange.ts";
import { startSidecar } from "../../support/sidecar.ts";

async function locationOf(
  rules: readonly object[],
  facts: ExchangeFacts,
  folds = false,
): Promise<string | undefined> {
  await using plugin = await setUpPlugin(redirect, { options: { rules }, route: { caseInsensitive: folds } });
  const verdict: Verdict = await plugin.hooks.onRequest?.(exchangeOf(facts));
  if (verdict?.action !== "respond") return undefined;
  assert.equal(verdict.fields?.[0], "Location");
  return verdict.fields[1];
}

const cases: readonly (readonly [from: string, to: string, path: string, location: string | undefined])[] = [
  ["/old", "/new", "/old", "/new"],
  ["/old", "/new", "/old/", undefined],
  ["/old", "/new", "/older", undefined],
  ["/old/*", "/new/*", "/old", "/new"],
  ["/old/*", "/new/*", "/old/", "/new/"],
  ["/old/*", "/new/*", "/old/a/b/", "/new/a/b/"],
  ["/old/*", "/new/*", "/older/a", undefined],
  ["/old/*", "/", "/old/a", "/"],
  ["/*", "https://api.example.com/*", "/", "https://api.example.com/"],
  ["/*", "https://api.example.com", "/a", "https://api.example.com/"],
  ["/u/{id}/o/{order}", "https://x.example:8443/{order}/{id}", "/u/1/o/2", "https://x.example:8443/2/1"],
  ["/u/{id}", "/{id}", "/u/", undefined],
  ["/u/{id}", "/{id}", "/u/a/b", undefined],
  ["/u/{id}", "/n/{id}", "/u/a%2Fb", "/n/a%2Fb"],
  // Nothing of the request becomes a host.
  ["/old/*", "/*", "/old//evil.example/x", "/evil.example/x"],
  ["/old/*", "/*", "/old///", "/"],
  ["/u/{id}", "/{id}", "/u/\\evil.example", "/%5Cevil.example"],
  ["/old/*", "https://a.example/*", "/old/@evil.example", "https://a.example/@evil.example"],
];

for (const [from, to, path, location] of cases) {
  test(`${from} to ${to}: ${path} is sent to ${location}`, async () => {
    assert.equal(await locationOf([{ from, to }], { path }), location);
  });
}

test("whatever the path and query, the place is on the host that was asked, or the policy's", () => {
  return fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.constantFrom("", "a", "\\", "evil.example", "@", ":", "%5C", "%2F", "\t", "é", "https:", ";"),
        {
          maxLength: 6,
        },
      ),
      fc.constantFrom("", "?", "?a=b", "?//evil.example", "?\\\\evil\r\nX: y"),
      async (segments, query) => {
        const facts = { path: `/old/${segments.join("/")}`, query };
        const own = (await locationOf([{ from: "/old/*", to: "/*" }], facts)) ?? "";
        assert.equal(new URL(own, "https://asked.example/x").host, "asked.example", own);
        const other = (await locationOf([{ from: "/old/*", to: "https://to.example/*" }], facts)) ?? "";
        assert.equal(new URL(other).host, "to.example", other);
        assert.match(own + other, /^[\x21-\x7e]+$/);
      },
    ),
    { numRuns: 100 },
  );
});

test("the query goes along, behind the target's own, unless it is dropped", async () => {
  const facts = { path: "/a", query: "?x=1&y=[2]" };
  assert.equal(await locationOf([{ from: "/a", to: "/b" }], facts), "/b?x=1&y=%5B2%5D");
  assert.equal(await locationOf([{ from: "/a", to: "/b?v=2" }], facts), "/b?v=2&x=1&y=%5B2%5D");
  assert.equal(await locationOf([{ from: "/a", to: "/b?v=2", query: "drop" }], facts), "/b?v=2");
  assert.equal(await locationOf([{ from: "/a", to: "/b" }], { path: "/a" }), "/b");
});

test("the first rule that means the request counts: by method, scheme and host", async () => {
  const to = (name: string): string => `https://${name}.example`;
  const rules = [
    { from: "/*", to: to("put"), when: { methods: ["PUT"] } },
    { from: "/*", to: to("secure"), when: { scheme: "https" } },
    { from: "/*", to: to("www"), when: { hosts: ["www.example"] } },
    { from: "/*", to: to("port"), when: { hosts: ["other.example:81"] } },
    { from: "/get", to: to("get"), when: { methods: ["GET"] } },
  ];
  const place = (facts: ExchangeFacts): Promise<string | undefined> => locationOf(rules, facts);
  assert.equal(await place({ method: "PUT", host: "www.example" }), "https://put.example/");
  assert.equal(await place({ host: "www.example:8080" }), "https://www.example/");
  assert.equal(await place({ host: "other.example:81" }), "https://port.example/");
  assert.equal(await place({ host: "other.example" }), undefined);
  assert.equal(await place({ method: "HEAD", path: "/get" }), "https://get.example/");
});

test("where the service folds case, so do rules, and captures stay as they came", async () => {
  const rules = [{ from: "/Users/{id}", to: "/u/{id}" }];
  assert.equal(await locationOf(rules, { path: "/uSERS/Bob" }, true), "/u/Bob");
  assert.equal(await locationOf(rules, { path: "/uSERS/Bob" }), undefined);
});

const refused: readonly (readonly [object, RegExp])[] = [
  [{ from: "old", to: "/" }, /must start with \//],
  [{ from: "/a/*/b", to: "/" }, /only as its last segment/],
  [{ from: "/{a}/{a}", to: "/" }, /two captures of one name/],
  [{ from: "/a{b}", to: "/" }, /must be a path/],
  [{ from: "/a", to: "//evil.example" }, /empty segment/],
  [{ from: "/a", to: "javascript:alert(1)" }, /must start with \//],
  [{ from: "/a", to: "ftp://a.example/" }, /must be http/],
  [{ from: "/a", to: "https://good.example@evil.example/" }, /write https:\/\/evil.example/],
  [{ from: "/a", to: "https://A.example:443/" }, /write https:\/\/a.example/],
  [{ from: "/{host}", to: "https://{host}/" }, /must have a host/],
  [{ from: "/a", to: "/{b}" }, /\{b\} is not in from/],
  [{ from: "/a", to: "/b/*" }, /from has not/],
  [{ from: "/a", to: "/b#c" }, /must be a path/],
  [{ from: "/a", to: "/b?c d" }, /not encoded/],
  [{ from: "/a", to: "/b", status: 200 }, /expected one of/],
  [{ from: "/a", to: "/b", when: { hosts: ["https://a"] } }, /must be a host/],
  [{ from: "/*", to: "/new/*" }, /without end/],
  [{ from: "/a", to: "/a?again" }, /without end/],
];

for (const [rule, message] of refused) {
  test(`a rule cannot be ${JSON.stringify(rule)}`, () => {
    assert.match(redirect.options.safeParse({ rules: [rule] }).error?.issues[0]?.message ?? "taken", message);
  });
}

test("a POST that leads back as a GET is no circle", () => {
  const rule = { from: "/a", to: "/a", status: 303, when: { methods: ["POST"] } };
  assert.ok(redirect.options.safeParse({ rules: [rule] }).success);
});

test("through a sidecar: before auth, without its credential, each status as the policy has it", async () => {
  await using sidecar = await startSidecar({
    env: {
      OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1",
      OUTRIGGER_API_KEY_PEPPER: "0123456789abcdef0123456789abcdef",
    },
    policy: {
      plugins: ["auth", "redirect"],
      pluginConfig: {
        auth: { apiKeys: { query: ["key"] } },
        redirect: {
          rules: [
            { from: "/s/*", to: "https://api.example.com/s/*", status: 308, when: { scheme: "http" } },
            ...[301, 302, 303, 307].map((status) => ({ from: `/${status}`, to: "/new", status })),
          ],
        },
      },
    },
    upstream: (_request, response) => response.end("service"),
  });
  const ask = (path: string, headers = {}): Promise<Response> =>
    fetch(sidecar.url + path, { method: "POST", body: "x", headers, redirect: "manual" });
  const moved = await ask("/s/a?key=secret&b=1");
  assert.deepEqual([moved.status, moved.headers.get("location")], [308, "https://api.example.com/s/a?b=1"]);
  assert.equal((await ask("/s/a", { "X-Forwarded-Proto": "https" })).status, 401);
  for (const status of [301, 302, 303, 307]) {
    const answer = await ask(`/${status}`);
    assert.deepEqual([answer.status, answer.headers.get("location")], [status, "/new"]);
  }
});

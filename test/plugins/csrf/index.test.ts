// The csrf plugin: single exchanges, and a running sidecar.
import assert from "node:assert/strict";
import { test } from "node:test";
import { csrf } from "../../../plugins/csrf/index.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { type ExchangeFacts, exchangeOf } from "../../support/exchange.ts";
import { startSidecar } from "../../support/sidecar.ts";

const from = (site: string | undefined, origin: string | undefined): string[] => [
  ...(site === undefined ? [] : ["Sec-Fetch-Site", site]),
  ...(origin === undefined ? [] : ["Origin", origin]),
];

const own = "https://api.example";
const other = "https://evil.example";
const friend = "https://app.example";

// As Go's CrossOriginProtection has it, and what browsers and attackers can make of it besides.
const cases: readonly (readonly [site: string | undefined, origin: string | undefined, in_: boolean])[] = [
  [undefined, undefined, true],
  ["same-origin", undefined, true],
  ["same-origin", own, true],
  ["none", undefined, true],
  ["none", "null", true],
  ["same-site", own, false],
  ["cross-site", undefined, false],
  ["cross-site", own, false],
  ["cross-site", other, false],
  ["cross-site", friend, true],
  ["same-site", friend, true],
  ["", own, false],
  ["same-origin, cross-site", own, false],
  ["SAME-ORIGIN", own, false],
  [undefined, own, true],
  [undefined, "https://api.example:443", false],
  [undefined, "http://api.example", true],
  [undefined, "http://api.example:8080", false],
  [undefined, other, false],
  [undefined, friend, true],
  [undefined, "https://API.example", false],
  [undefined, "https://api.example.evil.example", false],
  [undefined, "https://evil.example#api.example", false],
  [undefined, "https://user@api.example", false],
  [undefined, `${own}, ${other}`, false],
  [undefined, "null", false],
  [undefined, "", false],
  [undefined, "api.example", false],
];

async function isIn(options: object, facts: ExchangeFacts): Promise<boolean> {
  await using plugin = await setUpPlugin(csrf, { options });
  return (await plugin.hooks.onRequest?.(exchangeOf(facts))) === undefined;
}

test("no trailer says whose page it was", async () => {
  await using plugin = await setUpPlugin(csrf, {});
  assert.deepEqual(plugin.hooks.headOnlyFields, ["origin", "sec-fetch-site"]);
});

test("what changes something is for the own origin's pages, those named, and programs", async () => {
  for (const [site, origin, expected] of cases) {
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "PURGE"]) {
      const facts = { method, fields: from(site, origin) };
      const got = await isIn({ allowedOrigins: [friend] }, facts);
      assert.equal(got, expected, `${method} ${site} ${origin}`);
    }
    for (const method of ["GET", "HEAD", "OPTIONS"])
      assert.ok(await isIn({}, { method, fields: from(site, origin) }), `${method} ${site} ${origin}`);
  }
});

test("the port that is the scheme's own may stand in Host", async () => {
  for (const [host, origin, expected] of [
    ["api.example:443", own, true],
    ["api.example:80", own, false],
    ["[::1]:8080", "http://[::1]:8080", true],
    ["", own, false],
  ] as const) {
    assert.equal(await isIn({}, { method: "POST", host, fields: from(undefined, origin) }), expected, host);
  }
});

test("a WebSocket is no safe GET", async () => {
  const upgrade = { method: "GET", upgrade: "websocket" };
  assert.equal(await isIn({}, { ...upgrade, fields: from("cross-site", other) }), false);
  assert.equal(await isIn({}, { ...upgrade, fields: from(undefined, other) }), false);
  assert.equal(await isIn({}, { ...upgrade, fields: from("same-origin", own) }), true);
});

test("paths that are excluded are for everybody, and a dry run counts alone", async () => {
  const fields = from("cross-site", other);
  const options = { exclude: ["/hooks/*"] };
  assert.equal(await isIn(options, { method: "POST", path: "/hooks/a", fields }), true);
  assert.equal(await isIn(options, { method: "POST", path: "/hooksx", fields }), false);
  await using plugin = await setUpPlugin(csrf, { options: { dryRun: true } });
  assert.equal(await plugin.hooks.onRequest?.(exchangeOf({ method: "POST", fields })), undefined);
  assert.match(await plugin.metrics(), /^outrigger_csrf_total\{.*result="would_refuse".*\} 1$/m);
});

for (const text of ["https://app.example/", "app.example", "null", "*", "https://App.example", "file:///a"]) {
  test(`${text} is no origin`, () => {
    assert.equal(csrf.options.safeParse({ allowedOrigins: [text] }).success, false);
  });
}

test("through a sidecar: 403 says why in the log, and nothing reaches the service", async () => {
  const served: string[] = [];
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging", "csrf"] },
    upstream: (request, response) => {
      served.push(request.method ?? "");
      response.end("served");
    },
  });
  const send = async (method: string, origin: string): Promise<number> =>
    (await fetch(sidecar.url, { method, headers: { Origin: origin } })).status;
  assert.equal(await send("POST", other), 403);
  assert.equal(await send("GET", other), 200);
  assert.equal(await send("POST", sidecar.url), 200);
  assert.deepEqual(served, ["GET", "POST"]);
  const line = await sidecar.line(({ status }) => status === 403);
  assert.match(JSON.stringify(line), /another site's page/);
});

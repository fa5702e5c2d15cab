// The respond plugin: single exchanges, and through a running sidecar.
import assert from "node:assert/strict";
import { test } from "node:test";
import { respond } from "../../../plugins/respond/index.ts";
import { lint } from "../../../plugins/respond/lint.ts";
import type { LintRoute } from "../../../src/plugin-api/contract.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { exchangeOf } from "../../support/exchange.ts";
import { startSidecar } from "../../support/sidecar.ts";

test("answers with status, fields and body of the policy", async () => {
  const options = {
    status: 410,
    headers: { "X-A": "b" },
    contentType: "text/html",
    body: "gone",
    retryAfterSeconds: 5,
  };
  await using plugin = await setUpPlugin(respond, { options });
  assert.deepEqual(await plugin.hooks.onRequest?.(exchangeOf()), {
    action: "respond",
    status: 410,
    fields: ["X-A", "b", "Retry-After", "5", "Content-Type", "text/html"],
    body: Buffer.from("gone"),
  });
});

test("answers its methods alone, HEAD with GET", async () => {
  await using plugin = await setUpPlugin(respond, { options: { when: { methods: ["GET", "PUT"] } } });
  const answered = ["GET", "HEAD", "PUT", "POST"].map(
    (method) => plugin.hooks.onRequest?.(exchangeOf({ method })) !== undefined,
  );
  assert.deepEqual(answered, [true, true, true, false]);
});

const refused: readonly (readonly [object, RegExp])[] = [
  [{ status: 101 }, /Too small/],
  [{ status: 204, body: "x" }, /answer 204 has no body/],
  [{ headers: { "Content-Length": "3" } }, /sidecar alone/],
  [{ headers: { Transfer_Encoding: "chunked" } }, /field name|sidecar alone/],
  [{ headers: { "content-type": "a/b" } }, /set by contentType/],
  [{ headers: { "X-A": "b\r\nX-B: c" } }, /printable/],
  [{ contentType: "" }, /Too small/],
  [{ when: { methods: ["get"] } }, /in capitals/],
];

for (const [options, message] of refused) {
  test(`cannot be ${JSON.stringify(options)}`, () => {
    assert.match(respond.options.safeParse(options).error?.issues[0]?.message ?? "taken", message);
  });
}

test("lint: where it answers everything, nobody reaches the service", () => {
  const route = {} as LintRoute;
  const some = respond.options.parse({ when: { methods: ["POST"] } });
  assert.equal(lint.provides?.answer?.(respond.options.parse({}), route), true);
  assert.equal(lint.provides?.answer?.(some, route), "respond answers POST alone");
});

test("maintenance: changes are turned away before auth, in any spelling, and pages may read why", async () => {
  const served: string[] = [];
  await using sidecar = await startSidecar({
    policy: {
      plugins: ["cors"],
      pluginConfig: { cors: { origins: ["https://app.example"] } },
      routes: [
        { path: "/*" },
        {
          path: "/orders/*",
          plugins: ["cors", "auth", "respond"],
          pluginConfig: {
            auth: { required: true },
            respond: { body: "Back soon.", retryAfterSeconds: 60, when: { methods: ["POST"] } },
          },
        },
      ],
    },
    upstream: (request, response) => {
      served.push(`${request.method} ${request.url}`);
      response.end("service");
    },
  });
  const headers = { Origin: "https://app.example" };
  const ask = async (method: string, path: string): Promise<Response> =>
    fetch(sidecar.url + path, { method, headers });
  const turned = await ask("POST", "/orders/1");
  assert.deepEqual([turned.status, await turned.text()], [503, "Back soon."]);
  assert.equal(turned.headers.get("retry-after"), "60");
  assert.equal(turned.headers.get("access-control-allow-origin"), "https://app.example");
  assert.equal((await ask("GET", "/orders/1")).status, 401);
  assert.equal((await ask("POST", "/orders;x=1/1")).status, 400);
  assert.equal((await ask("POST", "/others")).status, 200);
  assert.deepEqual(served, ["POST /others"]);
});

test("a mock answers HEAD without its body, and a body of the client's does no harm", async () => {
  await using sidecar = await startSidecar({
    policy: {
      plugins: ["respond"],
      pluginConfig: { respond: { status: 200, contentType: "application/json", body: '{"price":"12 €"}' } },
    },
    upstream: (_request, response) => response.end("service"),
  });
  const head = await fetch(sidecar.url, { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("content-length"), await head.text()], [200, "18", ""]);
  for (let i = 0; i < 2; i += 1) {
    const answer = await fetch(sidecar.url, { method: "POST", body: "x".repeat(100_000) });
    assert.deepEqual(await answer.json(), { price: "12 €" });
    assert.equal(answer.headers.get("content-type"), "application/json");
  }
});

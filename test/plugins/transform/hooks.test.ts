// The transform plugin on single exchanges.
import assert from "node:assert/strict";
import { test } from "node:test";
import { transform } from "../../../plugins/transform/index.ts";
import type { Hooks, SetupInput } from "../../../src/plugin-api/contract.ts";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { LiveResponse } from "../../../src/runtime/response.ts";
import { exchangeOf, flat, type ExchangeFacts } from "../../support/exchange.ts";

async function hooksOf(options: object): Promise<Hooks> {
  // The plugin uses no service.
  const input = { options: transform.options.parse(options), services: {}, state: undefined } as SetupInput<
    ReturnType<typeof transform.options.parse>,
    unknown
  >;
  return transform.setup(input);
}

async function toService(options: object, facts: ExchangeFacts): Promise<string[]> {
  const exchange = exchangeOf(facts);
  assert.equal(await (await hooksOf(options)).onRequest?.(exchange), undefined);
  return exchange.request.fields.toFlat();
}

async function toClient(
  options: object,
  lines: readonly string[],
  facts: ExchangeFacts = {},
): Promise<string[]> {
  const response = LiveResponse.fromUpstream(200, "OK", new Fields(lines));
  await (await hooksOf(options)).onResponse?.(exchangeOf(facts), response);
  return response.fields.toFlat();
}

test("the service is told who calls", async () => {
  assert.deepEqual(
    await toService({}, { identity: { userId: "u1", plan: "pro", scopes: ["read", "a b"] } }),
    flat("X-User-Id: u1", "X-User-Plan: pro", "X-User-Scopes: read a%20b"),
  );
});

test("what is not known about the caller is not sent", async () => {
  assert.deepEqual(await toService({}, { identity: { userId: "u1" } }), ["X-User-Id", "u1"]);
  assert.deepEqual(await toService({ addHeaders: { "X-By": "$userId" } }, {}), []);
});

test("a user id with a line end adds no field", async () => {
  const sent = await toService({}, { identity: { userId: "u1\r\nX-User-Plan: pro" } });
  assert.deepEqual(sent, ["X-User-Id", "u1%0D%0AX-User-Plan: pro"]);
});

test("request fields are removed, then set", async () => {
  const sent = await toService(
    {
      removeHeaders: ["Cookie", "X-Tier"],
      addHeaders: { "X-Tier": "gold", "X-Trace": "$requestId", "User-Agent": "gate" },
    },
    {
      id: "r-1",
      fields: ["cookie", "a=1", "Accept", "*/*", "x-tier", "lead", "COOKIE", "b=2", "User-Agent", "curl"],
    },
  );
  assert.deepEqual(sent, ["Accept", "*/*", "User-Agent", "gate", "X-Tier", "gold", "X-Trace", "r-1"]);
});

test("a policy may leave identity fields out or say something else in them", async () => {
  const facts = { identity: { userId: "u1", plan: "pro" } };
  assert.deepEqual(await toService({ removeHeaders: ["X-User-Plan"] }, facts), ["X-User-Id", "u1"]);
  assert.deepEqual(
    await toService({ addHeaders: { "X-User-Id": "id:$userId" } }, facts),
    flat("X-User-Id: id:u1", "X-User-Plan: pro"),
  );
});

test("Server and X-Powered-By go unless the policy says otherwise", async () => {
  const lines = ["Server", "nginx", "X-POWERED-BY", "Express", "ETag", '"1"'];
  assert.deepEqual(await toClient({}, lines), ["ETag", '"1"']);
  assert.deepEqual(await toClient({ removeResponseHeaders: ["etag"] }, lines), lines.slice(0, 4));
  assert.equal("onResponse" in (await hooksOf({ removeResponseHeaders: [] })), false);
});

test("response fields are set, but cookies and Vary are added to the service's", async () => {
  const sent = await toClient(
    {
      removeResponseHeaders: [],
      addResponseHeaders: {
        "Cache-Control": "no-store",
        "Set-Cookie": "gate=1",
        Vary: "X-Plan",
        "X-For": "$plan",
      },
    },
    ["cache-control", "public", "Set-Cookie", "sid=1", "Vary", "Accept"],
    { identity: { plan: "pro" } },
  );
  assert.deepEqual(
    sent,
    flat(
      "Cache-Control: no-store",
      "Set-Cookie: sid=1",
      "Vary: Accept",
      "Set-Cookie: gate=1",
      "Vary: X-Plan",
      "X-For: pro",
    ),
  );
});

test("clients may not send what the policy sets, in any spelling; what every client sends stays theirs", async () => {
  const { ownedRequestFields } = await hooksOf({
    addHeaders: { "X-Forwarded-User": "$userId", X_Tier: "gold", Authorization: "Basic c2VydmljZQ==" },
  });
  assert.deepEqual(ownedRequestFields, [
    "x-user-id",
    "x-user-plan",
    "x-user-scopes",
    "x-forwarded-user",
    "x-tier",
  ]);
});

const issues = (options: object): string[] =>
  (transform.options.safeParse(options).error?.issues ?? []).map(({ path }) => path.join("."));

test("fields of the connection, of the framing and of the forwarding cannot be touched", () => {
  for (const name of [
    "Connection",
    "host",
    "Content-Length",
    "TRANSFER-ENCODING",
    "Upgrade",
    "te",
    "Trailer",
    "Keep-Alive",
  ]) {
    assert.deepEqual(issues({ addHeaders: { [name]: "x" } }), [`addHeaders.${name}`]);
    assert.deepEqual(issues({ addResponseHeaders: { [name]: "x" } }), [`addResponseHeaders.${name}`]);
    assert.deepEqual(issues({ removeHeaders: ["x-a", name] }), ["removeHeaders.1"]);
    assert.deepEqual(issues({ removeResponseHeaders: [name] }), ["removeResponseHeaders.0"]);
  }
  assert.deepEqual(issues({ addHeaders: { "X-Forwarded-For": "1.2.3.4" } }), ["addHeaders.X-Forwarded-For"]);
});

test("every problem of the options is named with its path", () => {
  const paths = issues({
    addHeaders: { "X A": "v", "X-B": "$nobody", "X-C": "1", "x-c": "2", "X-D": 7 },
    removeHeaders: ["", "ok"],
    extra: 1,
  });
  assert.ok(
    ["addHeaders.X-B", "addHeaders.X-D", "removeHeaders.0", ""].every((path) => paths.includes(path)),
    paths.join(),
  );
  const names = transform.options.safeParse({ addHeaders: { "X A": "v", "X-C": "1", "x-c": "2" } });
  assert.deepEqual(
    names.error?.issues.map(({ path, message }) => [path.join("."), message]),
    [
      ["addHeaders.X A", "must be a field name"],
      ["addHeaders.x-c", "is set twice in different case"],
    ],
  );
});

// The validate plugin with an OpenAPI document.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { validate } from "../../../plugins/validate/index.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { eventually } from "../../support/redis.ts";
import { connectRaw } from "../../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";
import { longestTurn } from "../../support/cpu.ts";

const openapi = {
  openapi: "3.1.0",
  info: { title: "Shop", version: "1" },
  servers: [{ url: "https://api.example.com/{version}", variables: { version: { default: "v1" } } }],
  paths: {
    "/items": {
      parameters: [{ $ref: "#/components/parameters/Tenant" }],
      get: {
        parameters: [
          { name: "limit", in: "query", schema: { type: "integer", minimum: 1, maximum: 100 } },
          { name: "tag", in: "query", schema: { type: "array", items: { type: "string" }, maxItems: 2 } },
          { name: "ids", in: "query", explode: false, schema: { type: "array", items: { type: "integer" } } },
        ],
        responses: {
          200: {
            content: {
              "application/json": { schema: { type: "array", items: { $ref: "#/components/schemas/Item" } } },
            },
          },
        },
      },
      post: {
        requestBody: {
          required: true,
          content: {
            "application/json": { schema: { $ref: "#/components/schemas/Item" } },
            "text/csv": {},
          },
        },
        responses: { default: { description: "whatever" } },
      },
    },
    "/items/{id}": {
      get: {
        parameters: [{ name: "id", in: "path", required: true, schema: { type: "string", format: "uuid" } }],
        responses: {},
      },
    },
    "/items/mine": { get: { responses: {} } },
    "/lists/{names}": {
      get: {
        parameters: [
          {
            name: "names",
            in: "path",
            required: true,
            schema: { type: "array", items: { enum: ["a", "b"] } },
          },
          { name: "mode", in: "cookie", schema: { not: { enum: ["root"] } } },
          { name: "X-Original-Path", in: "header", schema: { type: "string" } },
        ],
        responses: {},
      },
    },
  },
  components: {
    parameters: {
      Tenant: { name: "X-Tenant", in: "header", required: true, schema: { enum: ["a", "b"] } },
    },
    schemas: {
      Item: {
        allOf: [{ $ref: "#/components/schemas/Base" }],
        properties: {
          name: { type: "string" },
          maker: { type: "object", properties: { city: { type: "string" } } },
          free: { type: "object" },
          parts: { type: "array", items: { $ref: "#/components/schemas/Item" } },
        },
      },
      Base: { type: "object", required: ["sku"], properties: { sku: { type: "string" } } },
    },
  },
};

const uuid = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

type Case = readonly [target: string, status: number, where?: string | undefined, init?: RequestInit];

const post = (body: string, type = "application/json"): RequestInit => ({
  method: "POST",
  headers: { "X-Tenant": "a", "Content-Type": type },
  body,
});

const cases: readonly Case[] = [
  ["GET /v1/items", 200],
  ["GET /v1/items?limit=10&tag=x&tag=y&ids=1,2", 200],
  ["HEAD /v1/items", 200],
  ["GET /items", 404],
  ["GET /v1/nothing", 404],
  ["GET /v1/items/", 404],
  ["PUT /v1/items", 405],
  ["GET /v1/items?limit=0", 400, "query /limit"],
  ["GET /v1/items?limit=1e1", 400, "query /limit"],
  ["GET /v1/items?limit=SECRET", 400, "query /limit"],
  ["GET /v1/items?limit=1&limit=2", 400, "query /limit"],
  ["GET /v1/items?tag=x&tag=y&tag=z", 400, "query /tag"],
  ["GET /v1/items?ids=1,SECRET", 400, "query /ids/1"],
  ["GET /v1/items?other=SECRET", 400, "query /other"],
  ["GET /v1/items?limit=1;other=2", 400, "query "],
  ["GET /v1/items", 400, "header /X-Tenant", { headers: {} }],
  ["GET /v1/items", 400, "header /X-Tenant", { headers: { "X-Tenant": "SECRET" } }],
  ["GET /v1/items?ids=1%2C2", 400, "query "],
  ["GET /v1/items?ids=1,%202", 400, "query /ids/1"],
  ["GET /v1/lists/a,b", 200],
  ["GET /v1/lists/a%2Cb", 400, "path /names"],
  ["GET /v1/lists/a", 200, undefined, { headers: { Cookie: "mode=%6d%6d" } }],
  ["GET /v1/lists/a", 400, "cookie /mode", { headers: { Cookie: "mode=root" } }],
  ["GET /v1/lists/a", 400, "cookie /mode", { headers: { Cookie: "mode=%72oot" } }],
  ["GET /v1/lists/a", 400, "cookie /mode", { headers: { Cookie: "a=1, mode=root" } }],
  [`GET /v1/items/${uuid}`, 200],
  ["GET /v1/items/mine", 200],
  ["GET /v1/items/SECRET", 400, "path /id"],
  [`GET /v1/items/${uuid}?x`, 400, "query /x"],
  ["POST /v1/items", 200, undefined, post('{"sku":"1","free":{"any":1},"maker":{"city":"x"}}')],
  ["POST /v1/items", 200, undefined, post("a,b", "text/csv")],
  ["POST /v1/items", 415, undefined, post("a", "text/plain")],
  ["POST /v1/items", 422, "body /sku", post("{}")],
  ["POST /v1/items", 422, "body /other", post('{"sku":"1","other":"SECRET"}')],
  ["POST /v1/items", 422, "body /maker/zip", post('{"sku":"1","maker":{"zip":"SECRET"}}')],
  ["POST /v1/items", 422, "body /parts/0/other", post('{"sku":"1","parts":[{"sku":"2","other":1}]}')],
  ["POST /v1/items", 422, "body ", { method: "POST", headers: { "X-Tenant": "a" } }],
];

async function start(upstream: (path: string) => readonly [string, Record<string, string>, string | Buffer]) {
  return startSidecar({
    policy: { plugins: ["validate"], pluginConfig: { validate: { openapi, responses: "report" } } },
    upstream: (request, response) => {
      const [status, headers, body] = upstream(request.url ?? "");
      request.resume().on("end", () => response.writeHead(Number(status), headers).end(body));
    },
  });
}

async function outcome(sidecar: TestSidecar, [target, , , init]: Case): Promise<readonly [number, string]> {
  const [method = "", path = ""] = target.split(" ");
  const answer = await fetch(sidecar.url + path, { method, headers: { "X-Tenant": "a" }, ...init });
  const text = await answer.text();
  assert.doesNotMatch(text, /SECRET/, target);
  if (answer.ok || method === "HEAD") return [answer.status, ""];
  const { errors = [] } = JSON.parse(text) as { errors?: { in: string; pointer: string }[] };
  return [answer.status, errors.map((each) => `${each.in} ${each.pointer}`).join()];
}

test("paths, methods, parameters and bodies are those that the document has", async () => {
  await using sidecar = await start(() => ["200", {}, "served"]);
  for (const each of cases) {
    const [target, status, where] = each;
    assert.deepEqual(
      await outcome(sidecar, each),
      [status, where ?? ""],
      `${target} ${JSON.stringify(each[3])}`,
    );
  }
  const put = await fetch(`${sidecar.url}/v1/items`, { method: "PUT" });
  assert.equal(put.headers.get("allow"), "GET, POST, HEAD");
});

test("the operation that was checked is the one that is served", async () => {
  await using sidecar = await startSidecar({
    policy: { plugins: ["validate"], pluginConfig: { validate: { openapi } } },
    upstream: ({ headers }, response) =>
      response.end(`${String(headers["x-http-method-override"])} ${String(headers["x-original-path"])}`),
  });
  const headers = { "X-Tenant": "a", "X-HTTP-Method-Override": "DELETE", "X-Original-Path": "/admin" };
  const told = async (path: string): Promise<string> =>
    await (await fetch(sidecar.url + path, { headers })).text();
  assert.equal(await told("/v1/items"), "undefined undefined");
  assert.equal(await told("/v1/lists/a"), "undefined /admin", "one that the document has");
});

test("no trailer brings a field that was checked", async () => {
  await using plugin = await setUpPlugin(validate, { options: { openapi } });
  assert.deepEqual(plugin.hooks.headOnlyFields, [
    "content-type",
    "content-encoding",
    "x-tenant",
    "x-original-path",
  ]);
});

test("responses are counted and told of, and go on as they are", async () => {
  const json = { "Content-Type": "application/json" };
  const bad = '[{"sku":"1","name":"SECRET"},{"name":7}]';
  let next: readonly [string, Record<string, string>, string | Buffer] = ["200", json, '[{"sku":"1"}]'];
  await using sidecar = await start(() => next);
  const headers = { "X-Tenant": "a" };
  const get = async (): Promise<string> => (await fetch(`${sidecar.url}/v1/items`, { headers })).text();
  assert.equal(await get(), '[{"sku":"1"}]');
  next = ["200", json, bad];
  assert.equal(await get(), bad);
  next = ["200", { ...json, "Content-Encoding": "gzip" }, gzipSync(bad)];
  assert.equal(await get(), bad);
  next = ["500", json, "{}"];
  await get();
  const line = await sidecar.line(({ msg }) => /does not fit/.test(String(msg)));
  assert.deepEqual([line["status"], line["method"]], [200, "GET"]);
  assert.match(String(line["pointer"]), /^\/1\//);
  assert.doesNotMatch(JSON.stringify(line), /SECRET/);
  await eventually("both", async () => /result="invalid".*\} 2$/m.test(await sidecar.metrics()));
  assert.match(await sidecar.metrics(), /^outrigger_validate_responses_total\{.*result="valid".*\} 1$/m);
});

const at = (place: object): object => ({ openapi: { ...openapi, ...place } });
const parameter = (value: object): object =>
  at({ paths: { "/a": { get: { parameters: [value], responses: {} } } } });

const refused: readonly (readonly [string, object, RegExp])[] = [
  ["another version", at({ openapi: "3.0.3" }), /3\.1/],
  ["a reference elsewhere", at({ paths: { "/a": { $ref: "other.json#/a" } } }), /\/paths\/~1a: .*leads out/],
  [
    "a schema elsewhere",
    at({
      paths: {
        "/a": {
          post: {
            requestBody: { content: { "application/json": { schema: { $ref: "https://e.example/s" } } } },
          },
        },
      },
    }),
    /requestBody.*resolve/,
  ],
  ["a circle", at({ paths: { "/a": { $ref: "#/paths/~1a" } } }), /circle/],
  ["a part of a segment", at({ paths: { "/a.{b}": {} } }), /part of a segment/],
  ["two templates of one path", at({ paths: { "/{a}": {}, "/{b}": {} } }), /another template/],
  ["an object in the query", parameter({ name: "a", in: "query", schema: { type: "object" } }), /an object/],
  ["another style", parameter({ name: "a", in: "query", style: "deepObject", schema: {} }), /style/],
  ["a path without its parameter", parameter({ name: "a", in: "path", schema: {} }), /no parameter/],
  ["too much", at({ "x-all": Array.from({ length: 60_000 }, () => []) }), /more than 50000/],
];
for (const [what, options, message] of refused) {
  test(`a document with ${what} is refused with the policy, with its place`, async () => {
    await assert.rejects(setUpPlugin(validate, { options }), message);
  });
}

test("a document of many operations is compiled without holding up what else goes on", async () => {
  const operation = {
    requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/Item" } } } },
    responses: {},
  };
  const paths = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`/p${i}`, { post: operation }]));
  const longest = await longestTurn(async () => {
    await using plugin = await setUpPlugin(validate, { options: at({ paths }) });
    assert.equal(typeof plugin.hooks.close, "function");
  });
  assert.ok(longest < 1_000, `${longest} ms`);
});

test("whoever asks for an upgrade is held against the document, too", async () => {
  await using sidecar = await startSidecar({
    policy: { plugins: ["validate"], pluginConfig: { validate: { openapi } } },
    upstream: (_request, response) => void response.end("service"),
  });
  for (const [target, status] of [
    ["/v1/secret", 404],
    ["/v1/items?admin=1", 400],
    ["/v1/items/mine", 200],
  ] as const) {
    const client = await connectRaw(sidecar.port);
    client.send(
      `GET ${target} HTTP/1.1\r\nHost: a\r\nX-Tenant: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    );
    assert.equal((await client.answer()).status, status, target);
    client.end();
  }
});

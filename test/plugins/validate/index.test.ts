// The validate plugin in a running sidecar: bodies checked against a schema.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { test } from "node:test";
import { validate } from "../../../plugins/validate/index.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

const schema = {
  type: "object",
  required: ["name"],
  properties: {
    name: { type: "string", minLength: 1, maxLength: 5_000, pattern: "^([a-z]+)*$" },
    born: { type: "string", format: "date" },
    email: { type: "string", format: "email" },
    tags: { type: "array", items: { type: "string" }, uniqueItems: true },
    "a/b": { type: "object", properties: { n: { type: "integer", maximum: 10 } } },
    child: { anyOf: [{ $ref: "#" }, { $ref: "#/$defs/other" }] },
  },
  $defs: { other: { $ref: "#", required: ["never"] } },
  additionalProperties: false,
};

interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly errors?: readonly { readonly in: string; readonly pointer: string; readonly message: string }[];
}

async function start(options: object, seen: string[] = []): Promise<TestSidecar> {
  return startSidecar({
    policy: { plugins: ["validate"], pluginConfig: { validate: options } },
    upstream: (request, response) => {
      let body = "";
      request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      request.on("end", () => {
        seen.push(body);
        response.end("served");
      });
    },
  });
}

async function send(
  sidecar: TestSidecar,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<readonly [number, string, string, Headers]> {
  const answer = await fetch(sidecar.url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body,
  });
  const text = await answer.text();
  if (answer.ok) return [answer.status, "", text, answer.headers];
  const { errors } = JSON.parse(text) as Problem;
  return [answer.status, errors?.[0]?.pointer ?? "-", text, answer.headers];
}

const cases: readonly (readonly [what: string, body: string, status: number, pointer: string])[] = [
  ["what fits", '{"name":"ann","born":"2024-02-29","tags":["a","b"]}', 200, ""],
  ["a member that is missing", "{}", 422, "/name"],
  ["a member too many", '{"name":"a","x~/y":"SECRET"}', 422, "/x~0~1y"],
  ["a value of another type", '{"name":"a","a/b":{"n":"SECRET"}}', 422, "/a~1b/n"],
  ["a value out of range", '{"name":"a","a/b":{"n":11}}', 422, "/a~1b/n"],
  ["a day that is none", '{"name":"a","born":"2023-02-29"}', 422, "/born"],
  ["an address that is none", '{"name":"a","email":"SECRET@"}', 422, "/email"],
  ["things twice", '{"name":"a","tags":["SECRET","SECRET"]}', 422, "/tags"],
  ["text that the pattern has not", '{"name":"SECRET"}', 422, "/name"],
  ["a member named twice", '{"name":"a","name":"SECRET"}', 400, ""],
  ["the same, escaped", '{"name":"a","n\\u0061me":"SECRET"}', 400, ""],
  ["a prototype", '{"name":"a","__proto__":{"admin":"SECRET"}}', 400, "/__proto__"],
  ["the way around it", '{"name":"a","constructor":{"prototype":{}}}', 400, "/constructor"],
  ["no JSON", "{'name':'SECRET'}", 400, ""],
  ["a byte order mark", '\ufeff{"name":"a"}', 400, ""],
  ["more behind the end", '{"name":"a"}{"name":"b"}', 400, ""],
  ["too deep", "[".repeat(33) + "]".repeat(33), 400, ""],
];

test("bodies have to fit the schema; what is refused is named by pointer, never by value", async () => {
  const seen: string[] = [];
  await using sidecar = await start({ schema, maxDepth: 32 }, seen);
  for (const [what, body, status, pointer] of cases) {
    const [gotStatus, gotPointer, text] = await send(sidecar, body);
    assert.deepEqual([gotStatus, gotPointer], [status, pointer], what);
    assert.doesNotMatch(text, /SECRET/, what);
  }
  const broken = Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xff]), Buffer.from('"}')]);
  assert.equal((await send(sidecar, broken))[0], 400, "no UTF-8");
  assert.deepEqual(seen, [cases[0]?.[1]]);
  const empty = await fetch(sidecar.url, { method: "POST" });
  assert.equal(empty.status, 422);
  assert.equal((await fetch(sidecar.url)).status, 200);
  assert.match(await sidecar.metrics(), /^outrigger_validate_total\{.*result="valid".*\} 2$/m);
});

test("types and codings that are not declared are 415, and what is too long is 413", async () => {
  await using sidecar = await start({ maxBodyBytes: 1_000 });
  const bomb = gzipSync(Buffer.alloc(10_000_000, " "));
  for (const [body, headers, status] of [
    ["{}", {}, 200],
    ["{}", { "Content-Type": "application/json; charset=UTF-8" }, 200],
    ["{}", { "Content-Type": "application/json; charset=utf-16" }, 415],
    ["{}", { "Content-Type": "application/json; charset=utf-16; charset=utf-8" }, 415],
    ["{}", { "Content-Type": "application/json, text/plain" }, 415],
    ["{}", { "Content-Type": 'application/json; a="\\""' }, 415],
    ["{}", { "Content-Type": "text/plain" }, 415],
    ["{}", { "Content-Encoding": "identity" }, 200],
    [bomb, { "Content-Encoding": "gzip" }, 415],
    ["{}", { "Content-Encoding": "x-unknown" }, 415],
    [JSON.stringify("a".repeat(1_000)), {}, 413],
  ] as const) {
    const [got, , , fields] = await send(sidecar, body, headers);
    assert.equal(got, status, JSON.stringify(headers));
    if ("Content-Encoding" in headers && status === 415)
      assert.equal(fields.get("accept-encoding"), "identity");
  }
});

test("what is neither JSON nor a form goes past unread, whatever its size", async () => {
  const seen: string[] = [];
  await using sidecar = await start({ contentTypes: ["text/*"], maxBodyBytes: 10 }, seen);
  assert.equal((await send(sidecar, "x".repeat(100_000), { "Content-Type": "text/csv" }))[0], 200);
  assert.equal(seen[0]?.length, 100_000);
});

const part = (name: string, value: string): string =>
  `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;

test("forms in parts keep their limits, and are read in one way", async () => {
  await using sidecar = await start({
    contentTypes: ["multipart/form-data"],
    multipart: { maxParts: 2, maxPartBytes: 10 },
  });
  for (const [body, status, boundary = "b"] of [
    [`${part("a", "1")}${part("b", "2")}--b--\r\n`, 200],
    [`${part("a", "1")}--b--`, 200],
    [`${part("a", "1")}${part("b", "2")}${part("c", "3")}--b--`, 400],
    [`${part("a", "12345678901")}--b--`, 400],
    [`preamble\r\n${part("a", "1")}--b--`, 400],
    [`${part("a", "1")}--b--\r\n${part("b", "2")}`, 400],
    [part("a", "1"), 400],
    [`--b\r\nContent-Type: text/plain\r\n\r\n1\r\n--b--`, 400],
    [
      `--b\r\nContent-Disposition: form-data; name=a\r\ncontent-disposition: form-data; name=b\r\n\r\n1\r\n--b--`,
      400,
    ],
    [`${part("a", "1")}--b--`, 400, ""],
  ] as const) {
    const type = `multipart/form-data; boundary="${boundary}"`;
    assert.equal((await send(sidecar, body, { "Content-Type": type }))[0], status, body);
  }
});

test("no text of a client takes long: patterns, recursion, comparisons", async () => {
  await using sidecar = await start({ schema, maxDepth: 64 });
  const nested = (depth: number): string =>
    depth === 0 ? '{"name":1}' : `{"name":"a","child":${nested(depth - 1)}}`;
  const many = Array.from({ length: 60_000 }, (_, i) => `"t${i}"`).join();
  for (const [body, status] of [
    [JSON.stringify({ name: `${"a".repeat(4_000)}!` }), 422],
    [nested(60), 422],
    [`{"name":"a","tags":[${many}]}`, 200],
  ] as const) {
    const from = performance.now();
    assert.equal((await send(sidecar, body))[0], status, body.slice(0, 40));
    assert.ok(performance.now() - from < 20_000, body.slice(0, 40));
  }
});

const refused: readonly (readonly [string, object, RegExp])[] = [
  ["a reference elsewhere", { schema: { $ref: "https://example.com/s.json" } }, /resolve reference/],
  ["a reference to nothing", { schema: { $ref: "#/$defs/no" } }, /resolve/],
  ["another draft", { schema: { $schema: "http://json-schema.org/draft-07/schema#" } }, /schema/],
  ["a type that is none", { schema: { properties: { a: { type: "strnig" } } } }, /properties\/a\/type/],
  ["a look-around", { schema: { pattern: "(?=a)b" } }, /look-around/],
  ["a back-reference", { schema: { pattern: "(a)\\1" } }, /back-reference/],
  ["a long pattern", { schema: { pattern: "((a{50}){50}){50}" } }, /too long/],
  ["no pattern", { schema: { pattern: "(" } }, /no regular expression/],
];
for (const [what, options, message] of refused) {
  test(`a schema with ${what} is refused with the policy`, async () => {
    await assert.rejects(setUpPlugin(validate, { options }), message);
  });
}

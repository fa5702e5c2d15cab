// The body-transform plugin: bodies before and after, and a running sidecar together with compress and the cache.
import assert from "node:assert/strict";
import type http from "node:http";
import { after, before, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { changeBody } from "../../../plugins/body-transform/change-body.ts";
import { type Change, compileChanges, type Place } from "../../../plugins/body-transform/changes.ts";
import { CannotChange } from "../../../plugins/body-transform/edit.ts";
import { bodyTransform } from "../../../plugins/body-transform/index.ts";
import { eventually } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

function changesOf(change: Partial<Change>): Place {
  const compiled = compileChanges({ add: {}, remove: [], rename: {}, ...change });
  if (!("children" in compiled)) throw new Error(JSON.stringify(compiled));
  return compiled;
}

const changed = (text: string, change: Partial<Change>): string =>
  changeBody(Buffer.from(text), changesOf(change))?.toString() ?? text;

test("members are removed, renamed and added, and all else stays byte for byte", () => {
  const long = '{ "id": 12345678901234567890.10, "x":1e400,\t"a" : {"b":[1, 2 ,3]}, "ü\\u00e9": "\\/" }';
  const cases: readonly (readonly [string, Partial<Change>, string])[] = [
    [long, { remove: ["/none", "/a/none", "/a/b/9", "/id/x"] }, long],
    ['{"n":1,"n":2,"a":1}', { remove: ["/a"] }, '{"n":1,"n":2}'],
    [long, { remove: ["/a"] }, '{ "id": 12345678901234567890.10, "x":1e400, "ü\\u00e9": "\\/" }'],
    [long, { remove: ["/üé"] }, '{ "id": 12345678901234567890.10, "x":1e400,\t"a" : {"b":[1, 2 ,3]}}'],
    [long, { remove: ["/a/b/1"] }, long.replace(" 2 ,", "")],
    [' {"a":{}} \n', { add: { "/a/b/c": 1 } }, ' {"a":{"b":{"c":1}}} \n'],
    ["{}", { add: { "/a/b": null, "/a/c": [1], "/d": "x" } }, '{"a":{"b":null,"c":[1]},"d":"x"}'],
    ['{"a":"old", "b":2}', { add: { "/a": { n: 1 } } }, '{"a":{"n":1}, "b":2}'],
    ['{"a":1,"b":2}', { rename: { "/a": "b" } }, '{"b":1}'],
    ['{"b":2,"a":1,"b":3}', { rename: { "/a": "b" } }, '{"b":1}'],
    ['{"b":2}', { rename: { "/a": "b" } }, '{"b":2}'],
    ['{"a":1,"b":2}', { rename: { "/a": "b", "/b": "a" } }, '{"b":1,"a":2}'],
    ['{"a":{"x":1,"y":2}}', { rename: { "/a": "b" }, remove: ["/a/x"] }, '{"b":{"y":2}}'],
    ['{"a/b":1,"m~n":2,"":3}', { remove: ["/a~1b", "/m~0n", "/"] }, "{}"],
    ['{"~1":1}', { remove: ["/~01"] }, "{}"],
    ['{"\\u0061":1,"b":2}', { remove: ["/a"] }, '{"b":2}'],
    ['{"a\\"}":1,"b":"}\\\\"}', { remove: ['/a"}'] }, '{"b":"}\\\\"}'],
    ["[1,[2]]", { add: { "/-": 3, "/1/-": 4, "/0": 0 } }, "[0,[2,4],3]"],
    ["[]", { add: { "/-": 3 } }, "[3]"],
    ['[{"a":1,"b":[true,null]}]', { remove: ["/0/a", "/0/b/0"] }, '[{"b":[null]}]'],
    ['{"__proto__":{"admin":true},"a":1}', { remove: ["/__proto__"] }, '{"a":1}'],
    ['{"constructor":{"prototype":1}}', { remove: ["/constructor/prototype"] }, '{"constructor":{}}'],
    ["7", { remove: ["/a"] }, "7"],
    ['"a"', { remove: ["/a"] }, '"a"'],
  ];
  for (const [text, change, expected] of cases) assert.equal(changed(text, change), expected, text);
  assert.equal(({} as { admin?: unknown }).admin, undefined);
});

test("a member that is there twice is not one that can be changed", () => {
  for (const [text, change] of [
    ['{"a":1,"a":2}', { remove: ["/a"] }],
    ['{"a":{"b":1},"\\u0061":2}', { remove: ["/a/b"] }],
    ['{"a":1,"a":2}', { rename: { "/a": "b" } }],
    ["7", { add: { "/a": 1 } }],
    ['{"a":"x"}', { add: { "/a/b": 1 } }],
    ['{"a":[]}', { add: { "/a/b": 1 } }],
    ['{"a":[]}', { add: { "/a/0": 1 } }],
    ["{}", { add: { "/a/-": 1 } }],
    ["{'a':1}", { remove: ["/b"] }],
    ['{"a":1}x', { remove: ["/b"] }],
    ["\u{feff}{}", { remove: ["/b"] }],
    ["", { remove: ["/b"] }],
  ] as const satisfies readonly (readonly [string, object])[])
    assert.throws(() => changed(text, change), CannotChange, text);
  assert.throws(() => changeBody(Buffer.from([0x22, 0xff, 0x22]), changesOf({ remove: ["/a"] })));
});

test("whatever JSON it is, a removal takes out that member and nothing else", () => {
  // Not the name "\\" too: JSON.parse of Node 26.10 then takes "\"" for it.
  const names = fc.constantFrom("a", "b", "é", '"', "/", "~", "");
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(1, -0.5e-9, null, true, 'x"}\\', "[{"),
      tie("object"),
      tie("list"),
    ),
    object: fc.dictionary(names, tie("value"), { maxKeys: 4, noNullPrototype: true }),
    list: fc.array(tie("value"), { maxLength: 3 }),
  }));
  fc.assert(
    fc.property(
      fc.dictionary(names, value, { noNullPrototype: true }),
      names,
      fc.nat(3),
      (object, name, space) => {
        const pointer = `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
        const after = JSON.parse(
          changed(JSON.stringify(object, null, space), { remove: [pointer] }),
        ) as unknown;
        const { [name]: _gone, ...rest } = object;
        assert.deepEqual(after, rest);
      },
    ),
    { numRuns: 300 },
  );
});

test("a text of brackets is as soon done as any other", () => {
  const deep = `{"a":${"[".repeat(300_000)}${"]".repeat(300_000)},"b":1}`;
  assert.equal(changed(deep, { remove: ["/b"] }), deep.replace(',"b":1', ""));
});

const refused: readonly object[] = [
  { remove: ["a"] },
  { remove: [""] },
  { remove: ["/a~2"] },
  { remove: ["/a", "/a"] },
  { remove: ["/a", "/a/b"] },
  { remove: ["/a/b", "/a"] },
  { add: { "/a": 1 }, remove: ["/a"] },
  { add: { "/a": 1 }, rename: { "/b": "a" } },
  { rename: { "/a": "c", "/b": "c" } },
  { add: { "/b/c": 1 }, rename: { "/a": "b" } },
  { add: { "/a/d": 1 }, rename: { "/a": "b", "/c": "a" } },
  { add: { "/__proto__/admin": true } },
  { add: { "/a/constructor": 1 } },
  { add: { "/a": { b: [{ prototype: 1 }] } } },
  { add: JSON.parse('{"/a":{"__proto__":1}}') as object },
  { rename: { "/a": "__proto__" } },
  { remove: ["/a".repeat(33)] },
  { remove: Array.from({ length: 65 }, (_, i) => `/${i}`) },
];
for (const request of refused) {
  test(`${JSON.stringify(request).slice(0, 80)} is refused with its place`, () => {
    const read = bodyTransform.options.safeParse({ request });
    assert.equal(read.success, false);
    assert.equal(read.error?.issues[0]?.path[0], "request");
  });
}

const secretive = '{"id":10000000000000000000001,"secret":"s","items":[{"n":1}]}';
const open = '{"id":10000000000000000000001,"items":[{"n":1}],"by":"gateway"}';
let got: { body: string; fields: http.IncomingHttpHeaders } | undefined;

const answers: Readonly<Record<string, (response: http.ServerResponse) => void>> = {
  "/plain": (response) =>
    response.setHeader("ETag", '"1"').setHeader("Accept-Ranges", "bytes").end(secretive),
  "/digest": (response) => response.setHeader("Content-Digest", "sha-256=:AA==:").end(secretive),
  "/gzip": (response) => response.setHeader("Content-Encoding", "gzip").end(gzipSync(secretive)),
  "/zstd": (response) => response.setHeader("Content-Encoding", "zstd").end(zstdCompressSync(secretive)),
  "/pieces": (response) => {
    response.write(secretive.slice(0, 20));
    setImmediate(() => response.end(secretive.slice(20)));
  },
  "/untouched": (response) => response.setHeader("ETag", '"1"').end('{"by":"gateway"}'),
  "/html": (response) => response.setHeader("Content-Type", "text/html").end("secret"),
  "/charset": (response) =>
    response.setHeader("Content-Type", "application/json; charset=iso-8859-1").end(secretive),
  "/alias": (response) => response.setHeader("Content-Type", "application/json;charset=utf8").end(secretive),
  "/utf16": (response) =>
    response
      .setHeader("Content-Type", "application/json; charset=utf-16")
      .end(Buffer.from(secretive, "utf16le")),
  "/twice": (response) =>
    response.setHeader("Content-Type", "application/json, application/json").end(secretive),
  "/other": (response) => response.setHeader("Content-Encoding", "deflate").end("x"),
  "/broken": (response) => response.end('{"secret":'),
  "/bomb": (response) =>
    response.setHeader("Content-Encoding", "gzip").end(gzipSync(Buffer.alloc(10_000_000, " "))),
  "/long": (response) => response.end(`{"secret":"${"x".repeat(20_000)}"}`),
  "/part": (response) =>
    response.writeHead(206, { "Content-Range": "bytes 10-20/60" }).end(secretive.slice(10, 21)),
  "/cut": (response) => {
    response.writeHead(200, { "Content-Length": 100 }).write('{"secret":');
    setImmediate(() => response.destroy());
  },
};

let sidecar: TestSidecar;
before(async () => {
  const response = { remove: ["/secret"], add: { "/by": "gateway" } };
  const request = { remove: ["/isAdmin"], rename: { "/user": "username" } };
  sidecar = await startSidecar({
    upstream: (incoming, outgoing) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        got = { body: Buffer.concat(chunks).toString(), fields: incoming.headers };
        outgoing.setHeader("Content-Type", "application/json");
        const { pathname } = new URL(incoming.url ?? "", "http://service");
        if (pathname.startsWith("/cached"))
          outgoing.setHeader("Cache-Control", "max-age=0, stale-while-revalidate=60");
        (answers[pathname.replace(/^\/(?:pass|cached)/, "")] ?? answers["/plain"])?.(outgoing);
      });
    },
    policy: {
      plugins: ["logging", "cache", "compress", "body-transform"],
      pluginConfig: {
        compress: { minBytes: 1 },
        "body-transform": { request, response, maxBodyBytes: 10_000 },
      },
      routes: [
        { path: "/*", plugins: ["logging", "compress", "body-transform"] },
        { path: "/cached/*" },
        {
          path: "/pass/*",
          plugins: ["logging", "body-transform"],
          pluginConfig: { "body-transform": { onFailure: "pass" } },
        },
      ],
    },
  });
});
after(() => sidecar.stop());

const plain = { "accept-encoding": "identity" };

async function get(
  path: string,
  headers: Record<string, string> = plain,
): Promise<[number, string, Headers]> {
  const response = await fetch(sidecar.url + path, { headers });
  return [response.status, await response.text(), response.headers];
}

test("an answer is changed whatever its coding, and its head says so", async () => {
  for (const path of ["/plain", "/digest", "/gzip", "/zstd", "/pieces", "/charset", "/alias", "/twice"]) {
    const [status, body, headers] = await get(path);
    assert.deepEqual([status, body], [200, open], path);
    assert.equal(headers.get("content-length"), String(open.length));
    for (const name of ["content-encoding", "content-digest", "accept-ranges"])
      assert.equal(headers.get(name), null, `${path} ${name}`);
  }
  assert.equal((await get("/plain"))[2].get("etag"), 'W/"1"');
  assert.equal((await get("/untouched"))[2].get("etag"), '"1"');
  const [, body, headers] = await get("/gzip", { "accept-encoding": "br" });
  assert.deepEqual([body, headers.get("content-encoding")], [open, "br"]);
});

test("what cannot be changed is a 502, or goes on where the policy says so", async () => {
  for (const path of ["/other", "/broken", "/bomb", "/long", "/part", "/utf16"]) {
    const [status, body] = await get(path);
    assert.equal(status, 502, path);
    assert.doesNotMatch(body, /secret/);
    const response = await fetch(`${sidecar.url}/pass${path}`, { headers: plain }).catch(() => undefined);
    assert.ok(response !== undefined && response.status < 300, path);
    await response.arrayBuffer().catch(() => {});
  }
  assert.equal((await get("/pass/long"))[1].length, 20_013);
  assert.equal((await get("/html"))[1], "secret");
  assert.equal((await get("/cut"))[0], 502);
});

test("no part of an answer shows what is taken out, and a HEAD does not say its length", async () => {
  const [status, body] = await get("/plain", { ...plain, range: "bytes=20-50", "if-range": '"1"' });
  assert.deepEqual([status, body], [200, open]);
  assert.equal(got?.fields.range, undefined);
  const head = await fetch(`${sidecar.url}/plain`, { method: "HEAD", headers: plain });
  assert.deepEqual([head.headers.get("content-length"), head.headers.get("etag")], [null, 'W/"1"']);
});

test("a request is changed, or refused: no other type or reading brings a member past it", async () => {
  const post = async (
    body: string | Buffer,
    headers: Record<string, string> = {},
    path = "/plain",
  ): Promise<number> => {
    got = undefined;
    const init = { method: "POST", body, headers: { "content-type": "application/json", ...headers } };
    const { status, body: answer } = await fetch(sidecar.url + path, init);
    await answer?.cancel();
    return status;
  };
  const admin = '{"isAdmin":true,"user":"u","n":1.0}';
  assert.equal(await post(admin, { "content-digest": "sha-256=:AA==:" }), 200);
  assert.equal(got?.body, '{"username":"u","n":1.0}');
  assert.equal(got?.fields["content-length"], "24");
  assert.equal(got?.fields["content-digest"], undefined);
  assert.equal(await post(admin, { "content-type": "application/merge-patch+json; charset=UTF-8" }), 200);
  assert.equal(got?.body, '{"username":"u","n":1.0}');
  for (const [status, body, headers] of [
    [415, admin, { "content-type": "text/plain" }],
    [415, admin, { "content-type": "application/json; charset=utf-7" }],
    [415, admin, { "content-type": "application/json; charset =utf-7" }],
    [415, admin, { "content-type": "application/json, text/plain" }],
    [415, admin, { "content-type": "application/jsonx" }],
    [415, gzipSync(admin), { "content-encoding": "gzip" }],
    [422, '{"isAdmin":true,"isAdmin":1}', {}],
    [422, '{"isAdmin":true,}', {}],
    [413, `{"isAdmin":"${"x".repeat(10_001)}"}`, {}],
  ] as const) {
    assert.equal(await post(body, headers), status, String(body).slice(0, 60));
    assert.equal(got, undefined);
  }
  assert.equal(await post("isAdmin=1", { "content-type": "text/plain" }, "/pass/plain"), 200);
  assert.equal((await get("/plain"))[0], 200);
});

test("a cache keeps what is changed, also when it asks anew behind the client's back", async () => {
  const count = async (result: string): Promise<number> => {
    const line = new RegExp(
      `^outrigger_body_transform_total.*route="/cached/.*direction="response",result="${result}".*\\} (\\d+)$`,
      "m",
    );
    return Number(line.exec(await sidecar.metrics())?.[1] ?? 0);
  };
  // The first two are misses.
  await eventually("it has asked anew", async () => {
    for (const coding of ["identity", "gzip"]) {
      const [, body] = await get("/cached/pieces", { "accept-encoding": coding });
      assert.equal(body, open);
    }
    assert.equal(await count("refused"), 0);
    return (await count("changed")) > 3;
  });
});

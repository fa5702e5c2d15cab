// The compress plugin: what is negotiated, and a running sidecar with a cache.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import { after, before, test } from "node:test";
import zlib from "node:zlib";
import { compress } from "../../../plugins/compress/index.ts";
import { type Coding, compileChoice } from "../../../plugins/compress/negotiation.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { responseOf } from "../../../src/testing/responses.ts";
import { type ExchangeFacts, exchangeOf } from "../../support/exchange.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";
import { eventually } from "../../support/redis.ts";

const all: readonly Coding[] = ["zstd", "br", "gzip"];

test("the coding is the one that the client weighs most, ours best first, and plain where it prefers that", () => {
  const choiceOf = compileChoice(all);
  for (const [value, coding, refusesPlain = false] of [
    [undefined, undefined],
    ["", undefined],
    ["identity", undefined],
    ["gzip, deflate, br, zstd", "zstd"],
    ["gzip, deflate, br", "br"],
    ["gzip;q=1.0, br;q=0.5", "gzip"],
    ["GZIP", "gzip"],
    ["x-gzip", "gzip"],
    ["deflate", undefined],
    ["*", "zstd"],
    ["*;q=0.1, gzip;q=0.2", "gzip"],
    ["zstd;q=0, *", "br"],
    ["gzip;q=0", undefined],
    ["gzip;q=0, *;q=0", undefined, true],
    ["identity;q=0", undefined, true],
    ["identity;q=0, br", "br", true],
    ["*;q=0, identity;q=0.5", undefined],
    ["*;q=0, gzip", "gzip", true],
    ["identity, gzip;q=0.5", undefined],
    ["identity;q=0.5, gzip;q=0.5", "gzip"],
    ["gzip;q=1.001", undefined],
    ["gzip;q=2", undefined],
    ["gzip;q=0.0001", undefined],
    ["gzip;q=", undefined],
    ["gzip;level=9", undefined],
    ["gzip ; q=0.3", "gzip"],
    ["br gzip", undefined],
    ["gzip;q=0, gzip", "gzip"],
    [`${"x,".repeat(10_000)}gzip`, "gzip"],
  ] as const) {
    assert.deepEqual(choiceOf(value), { coding, refusesPlain }, value ?? "none");
    assert.deepEqual(choiceOf(value), { coding, refusesPlain }, `${value}, again`);
  }
});

const long = "a line of text, and another one\n".repeat(100);

/** @returns the response's head after the hook; the body is not sent */
async function head(
  facts: ExchangeFacts,
  fields: readonly string[],
  { status = 200, options = {} }: { status?: number; options?: object } = {},
): Promise<Record<string, string | undefined>> {
  await using plugin = await setUpPlugin(compress, { options });
  const response = responseOf(status, [
    "Content-Type",
    "text/html; charset=utf-8",
    "Content-Length",
    "3200",
    ...fields,
  ]);
  await plugin.hooks.onResponse?.(
    exchangeOf({ ...facts, fields: ["Accept-Encoding", "gzip", ...(facts.fields ?? [])] }),
    response,
  );
  response.discard();
  const of = (name: string): string | undefined => response.fields.get(name);
  return {
    coding: of("content-encoding"),
    vary: of("vary"),
    length: of("content-length"),
    etag: of("etag"),
    ranges: of("accept-ranges"),
  };
}

test("the head says what became of the body", async () => {
  assert.deepEqual(await head({}, ["ETag", '"v1"', "Accept-Ranges", "bytes", "Vary", "Origin"]), {
    coding: "gzip",
    vary: "Origin, Accept-Encoding",
    length: undefined,
    etag: 'W/"v1"',
    ranges: undefined,
  });
  assert.equal((await head({}, ["ETag", 'W/"v1"'])).etag, 'W/"v1"');
  assert.equal((await head({}, ["Vary", "*"])).vary, "*");
  assert.equal((await head({}, ["Vary", "accept-encoding, Origin"])).vary, "accept-encoding, Origin");
  assert.equal((await head({}, ["Vary", "X-Accept-Encoding"])).vary, "X-Accept-Encoding, Accept-Encoding");
});

test("what is encoded, signed, partial, without content or not to be transformed stays as it is", async () => {
  const untouched = { coding: undefined, vary: undefined, length: "3200", etag: '"v"', ranges: undefined };
  for (const fields of [
    ["Cache-Control", "max-age=60, No-Transform"],
    ["Content-Range", "bytes 0-3199/9000"],
    ["Content-Digest", "sha-256=:AAAA:"],
    ["Repr-Digest", "sha-256=:AAAA:"],
    ["Content-MD5", "AAAA"],
    ["Trailer", "Content-Digest"],
  ])
    assert.deepEqual(await head({}, ["ETag", '"v"', ...fields]), untouched, fields.join());
  for (const status of [204, 205, 206])
    assert.deepEqual(await head({}, ["ETag", '"v"'], { status }), untouched, String(status));
  const asked = { fields: ["Cache-Control", "no-transform"] };
  assert.deepEqual(await head(asked, ["ETag", '"v"']), untouched);
  assert.equal((await head({}, ["Content-Encoding", "br"])).coding, "br");
  assert.equal((await head({}, ["Content-Encoding", "identity"])).coding, "gzip");
  for (const type of ["image/png", "text/event-stream", "TEXT/EVENT-STREAM;x", "application/grpc+proto"]) {
    const options = { types: ["*/*"] };
    const fields = ["Content-Type", type];
    await using plugin = await setUpPlugin(compress, { options: type === "image/png" ? {} : options });
    const response = responseOf(200, [...fields, "Content-Length", "9999"]);
    await plugin.hooks.onResponse?.(exchangeOf({ fields: ["Accept-Encoding", "gzip"] }), response);
    assert.equal(response.fields.get("content-encoding"), undefined, type);
  }
});

test("HEAD gets the head that GET would get, and a 304 the tag and fields that its 200 had", async () => {
  const tagged = ["ETag", '"v"', "Accept-Ranges", "bytes"];
  assert.deepEqual(await head({ method: "HEAD" }, tagged), await head({}, tagged));
  const own = { method: "HEAD", fields: ["Cookie", "a=b"] };
  const { coding, length, etag, vary } = await head(own, tagged);
  assert.deepEqual([coding, length, etag, vary], [undefined, "3200", '"v"', "Accept-Encoding"]);
  const asked = { fields: ["If-None-Match", 'W/"v"'] };
  const unchanged = await head(asked, ["ETag", '"v"', "Vary", "Origin"], { status: 304 });
  assert.deepEqual([unchanged.etag, unchanged.vary], ['W/"v"', "Origin, Accept-Encoding"]);
  const strong = await head({ fields: ["If-None-Match", '"v"'] }, ["ETag", '"v"'], { status: 304 });
  assert.deepEqual([strong.etag, strong.vary], ['"v"', undefined]);
});

test("a short body is compressed only for who takes no other", async () => {
  const options = { minBytes: 4_000 };
  assert.deepEqual((await head({}, [], { options })).coding, undefined);
  const only = { fields: ["Accept-Encoding", "identity;q=0"] };
  assert.equal((await head(only, [], { options })).coding, "gzip");
});

test("nothing of a caller's is compressed, unless the route says so", async () => {
  const coding = async (facts: ExchangeFacts, credentials: string, fields: string[] = []): Promise<boolean> =>
    (await head(facts, fields, { options: { credentials } })).coding !== undefined;
  for (const [facts, explicit, fields] of [
    [{ fields: ["Cookie", "sid=1"] }, false],
    [{ fields: ["Authorization", "Basic dTpw"] }, false],
    [{ fields: ["Authorization", "Negotiate x"] }, false],
    [{ fields: ["Authorization", "Bearer t"] }, true],
    [{ identity: { method: "session" } }, false],
    [{ identity: { method: "certificate" } }, false],
    [{ identity: { method: "ext-auth" } }, false],
    [{ identity: { method: "jwt" } }, true],
    [{ identity: { method: "api-key" } }, true],
    [{}, false, ["Set-Cookie", "sid=1"]],
  ] as const satisfies readonly (readonly [ExchangeFacts, boolean, string[]?])[]) {
    const what = JSON.stringify([facts, fields]);
    assert.equal(await coding(facts, "never", fields), false, what);
    assert.equal(await coding(facts, "explicit", fields), explicit, what);
    assert.equal(await coding(facts, "always", fields), true, what);
  }
});

interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: NodeJS.Dict<string>;
}

const decoders = {
  gzip: zlib.gunzipSync,
  br: zlib.brotliDecompressSync,
  zstd: zlib.zstdDecompressSync,
} as const;

function textOf({ headers, body }: Answer): string {
  const coding = headers["content-encoding"];
  return (coding === undefined ? body : decoders[coding as Coding](body)).toString();
}

const random = randomBytes(65_536);

/** Never ends; counts what it could write. */
const endless = { bytes: 0, open: 0 };

function serveEndless(response: http.ServerResponse): void {
  endless.open += 1;
  response.on("close", () => (endless.open -= 1));
  const more = (): void => {
    if (response.destroyed || endless.bytes > 268_435_456) return;
    endless.bytes += random.length;
    if (response.write(random)) setImmediate(more);
    else response.once("drain", more);
  };
  more();
}

const serve: http.RequestListener = (request, response) => {
  const { pathname } = new URL(request.url ?? "", "http://localhost");
  response.setHeader("Content-Type", "text/plain");
  if (pathname === "/endless") return serveEndless(response);
  if (pathname === "/pieces") {
    response.write("first piece\n");
    return; // The test ends it.
  }
  if (pathname === "/trailers") {
    response.writeHead(200, { "X-Way": "chunked" });
    response.write(long);
    response.addTrailers({ "Content-Digest": "sha-256=:AAAA:", "X-Count": "1" });
    return void response.end();
  }
  if (pathname === "/cut") {
    response.writeHead(200, { "Content-Length": 100_000 });
    response.write(random);
    return void setImmediate(() => response.destroy());
  }
  const etag = `"${createHash("sha1").update(long).digest("hex")}"`;
  response.setHeader("ETag", etag);
  response.setHeader("Vary", "Origin");
  if (pathname.startsWith("/cached")) {
    response.setHeader("Cache-Control", pathname === "/cached/stale" ? "max-age=0" : "max-age=60");
    asked.push(`${pathname} ${request.headers["accept-encoding"]} ${request.headers["if-none-match"] ?? ""}`);
    if (request.headers["if-none-match"]?.includes(etag) === true) return void response.writeHead(304).end();
  }
  response.setHeader("Content-Length", Buffer.byteLength(long));
  response.end(request.method === "HEAD" ? undefined : long);
};

const asked: string[] = [];
let sidecar: TestSidecar;
const agent = new http.Agent();

before(async () => {
  sidecar = await startSidecar({
    upstream: serve,
    policy: {
      plugins: ["logging", "cache", "transform", "compress"],
      routes: [
        { path: "/*", plugins: ["logging", "compress"] },
        { path: "/cached/*" },
        { path: "/pieces", plugins: ["compress"], pluginConfig: { compress: { maxConcurrent: 1 } } },
      ],
    },
  });
});
after(async () => {
  agent.destroy();
  await sidecar.stop();
});

function open(
  path: string,
  headers: http.OutgoingHttpHeaders,
  method = "GET",
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    http
      .request(sidecar.url + path, { headers, method, agent }, resolve)
      .on("error", reject)
      .end();
  });
}

async function get(path: string, acceptEncoding?: string, method = "GET"): Promise<Answer> {
  const headers = acceptEncoding === undefined ? {} : { "Accept-Encoding": acceptEncoding };
  const response = await open(path, headers, method);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const { statusCode: status, headers: fields, trailers } = response;
  return { status, headers: fields, body: Buffer.concat(chunks), trailers };
}

test("each coding is what the service sent, in fewer bytes, and is counted", async () => {
  for (const coding of all) {
    const answer = await get("/a", coding);
    assert.equal(answer.headers["content-encoding"], coding);
    assert.equal(textOf(answer), long);
    assert.ok(answer.body.length < long.length / 10, `${coding}: ${answer.body.length}`);
    assert.equal(answer.headers["content-length"], undefined);
  }
  assert.equal(textOf(await get("/a")), long);
  const metrics = await sidecar.metrics();
  assert.match(metrics, /^outrigger_compress_total\{.*result="zstd".*\} 1$/m);
  assert.match(
    metrics,
    new RegExp(`^outrigger_compress_bytes_total\\{.*side="plain".*\\} ${3 * long.length}$`, "m"),
  );
});

test("each piece of a body without length comes as the service sent it", async () => {
  for (const coding of all) {
    const response = await open("/pieces", { "Accept-Encoding": coding });
    const decoder = {
      gzip: zlib.createGunzip,
      br: zlib.createBrotliDecompress,
      zstd: zlib.createZstdDecompress,
    }[coding]();
    const piece = new Promise((resolve) => decoder.once("data", resolve));
    decoder.on("error", () => {});
    response.on("error", () => {});
    response.pipe(decoder);
    assert.equal(String(await piece), "first piece\n", coding);
    // There is one compressor here, which is free again when its client has left.
    const second = await open("/pieces", { "Accept-Encoding": coding });
    assert.equal(second.headers["content-encoding"], undefined);
    second.on("error", () => {});
    second.socket.resetAndDestroy();
    response.socket.resetAndDestroy();
    await eventually("the compressor is free", async () => {
      const third = await open("/pieces", { "Accept-Encoding": coding });
      third.on("error", () => {});
      third.socket.resetAndDestroy();
      return third.headers["content-encoding"] === coding;
    });
    decoder.destroy();
  }
});

test("a client that does not read holds the service back, and lets go of everything when it leaves", async () => {
  const response = await open("/endless", { "Accept-Encoding": "gzip" });
  response.pause();
  response.on("error", () => {});
  let before = -1;
  await eventually("the service waits", () => {
    const still = before === endless.bytes;
    before = endless.bytes;
    return still;
  });
  assert.ok(endless.bytes < 67_108_864, `${endless.bytes} bytes were taken in`);
  response.destroy();
  await eventually("the service is let go", () => endless.open === 0);
});

test("a body that breaks off does so for the client, and trailers that no longer hold are left out", async () => {
  await assert.rejects(get("/cut", "gzip"), /aborted/);
  const answer = await get("/trailers", "br");
  assert.equal(textOf(answer), long);
  assert.deepEqual(answer.trailers, { "x-count": "1" });
});

test("a cache keeps each coding for those who take it", async () => {
  for (const [accept, from, coding] of [
    ["gzip", "MISS", "gzip"],
    ["gzip", "HIT", "gzip"],
    ["br, gzip", "MISS", "br"],
    ["gzip,br", "HIT", "br"],
    [undefined, "MISS", undefined],
    [undefined, "HIT", undefined],
    ["gzip", "HIT", "gzip"],
  ] as const) {
    const answer = await get("/cached/a", accept);
    assert.equal(answer.headers["x-cache"], from, accept ?? "none");
    assert.equal(answer.headers["content-encoding"], coding, accept ?? "none");
    assert.equal(textOf(answer), long);
    assert.equal(answer.headers.vary, "Origin, Accept-Encoding");
  }
  assert.equal(asked.length, 3);
});

test("what is cached is validated by its own tag, and keeps its fields to vary by", async () => {
  asked.length = 0;
  for (const accept of ["gzip", "gzip", "identity", "gzip"]) {
    const answer = await get("/cached/stale", accept);
    assert.equal(answer.headers["content-encoding"], accept === "gzip" ? "gzip" : undefined);
    assert.equal(textOf(answer), long);
    assert.equal(answer.headers.vary, "Origin, Accept-Encoding");
  }
  assert.match(asked[1] ?? "", /W\//);
  assert.equal((await get("/cached/stale", "gzip")).headers["x-cache"], "HIT");
});

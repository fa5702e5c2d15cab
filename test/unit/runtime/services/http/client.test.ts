// The client for plugins' own HTTP calls: what it decodes, which redirects it follows, and the limits of both.
import assert from "node:assert/strict";
import type http from "node:http";
import { after, before, test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { createHttpClient } from "../../../../../src/runtime/services/http/client.ts";
import type { HttpAnswer } from "../../../../../src/plugin-api/services.ts";
import { EndpointServer } from "../../../../support/endpoint-server.ts";

const client = createHttpClient();
let answer: http.RequestListener;
let server: EndpointServer;
before(async () => {
  server = new EndpointServer((request, response) => answer(request, response));
  await server.listen();
});
after(() => server.close());

const limits = { timeoutMs: 2_000, maxBodyBytes: 1_000 };
const get = (path = "/", maxRedirects?: number): Promise<HttpAnswer> =>
  client.request({ url: server.url + path, ...limits, ...(maxRedirects !== undefined && { maxRedirects }) });

/** `/n` leads to `/n-1`, and `/0` answers. */
const countdown: http.RequestListener = (request, response) => {
  const left = Number(request.url?.slice(1));
  if (left === 0) response.end("here");
  else response.writeHead(307, { location: `/${left - 1}` }).end();
};

test("what the server encoded unasked is decoded", async () => {
  const codings: [string, (text: string) => Buffer][] = [
    ["gzip", gzipSync],
    ["X-GZIP", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
    ["identity", (text) => Buffer.from(text)],
  ];
  for (const [coding, encode] of codings) {
    answer = (_request, response) =>
      response.writeHead(200, { "content-encoding": coding }).end(encode("text"));
    assert.equal((await get()).body.toString(), "text", coding);
  }
});

test("an unknown coding, a broken one, and one that swells beyond the limit are errors", async () => {
  const bodies: [string, Buffer, RegExp][] = [
    ["zstd", Buffer.from("x"), /coding is not known: zstd/],
    ["gzip, br", gzipSync("x"), /coding is not known/],
    ["gzip", Buffer.from("no gzip"), /Z_DATA_ERROR/],
    ["gzip", gzipSync("x".repeat(200)).subarray(0, 20), /Z_BUF_ERROR/],
    ["gzip", gzipSync(Buffer.alloc(50_000_000)), /larger than 1000 bytes/],
  ];
  for (const [coding, body, why] of bodies) {
    answer = (_request, response) => response.writeHead(200, { "content-encoding": coding }).end(body);
    await assert.rejects(get(), why);
  }
});

test("answers under way have a bound together, which is free again when they end", async () => {
  const bounded = createHttpClient({ maxAnswerBytes: 1_500 });
  const held: http.ServerResponse[] = [];
  const two = Promise.withResolvers<void>();
  answer = (_request, response) => {
    response.write("x".repeat(900));
    if (held.push(response) === 2) two.resolve();
  };
  const ask = (): Promise<HttpAnswer> => bounded.request({ url: server.url, ...limits });
  const both = [ask(), ask()];
  await assert.rejects(Promise.race(both), /answers under way are larger than 1500 bytes together/);
  await two.promise;
  for (const response of held) response.end();
  const ended = await Promise.allSettled(both);
  assert.deepEqual(ended.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
  answer = (_request, response) => response.end("y".repeat(900));
  for (let call = 0; call < 3; call += 1) assert.equal((await ask()).body.length, 900);
  bounded.close();
});

test("redirects are followed only where asked for, a bounded number of them", async () => {
  answer = countdown;
  assert.equal((await get("/1")).status, 307);
  assert.equal((await get("/3", 3)).body.toString(), "here");
  assert.equal((await get("/4", 3)).status, 307);
  answer = (_request, response) => response.writeHead(302, { location: "/" }).end();
  server.asked = 0;
  assert.equal((await get("/", 3)).status, 302);
  assert.equal(server.asked, 4);
});

test("a redirect to another origin, port or scheme is an error, and a form is never sent on", async () => {
  const other = new EndpointServer((_request, response) => response.end("theirs"));
  await other.listen();
  const { port } = new URL(server.url);
  const elsewhere = [
    other.url,
    `http://localhost:${port}/`,
    `https://127.0.0.1:${port}/`,
    "//evil.example/",
    "data:,x",
  ];
  for (const location of elsewhere) {
    answer = (_request, response) => response.writeHead(302, { location }).end();
    await assert.rejects(get("/", 3), /redirect to another origin/, location);
  }
  answer = (_request, response) =>
    response.writeHead(302, { location: `http://u:p@127.0.0.1:${port}/` }).end();
  await assert.rejects(get("/", 3), /redirect to another origin/);
  answer = countdown;
  const form = await client.request({
    url: `${server.url}/1`,
    method: "POST",
    body: "secret=x",
    maxRedirects: 3,
    ...limits,
  });
  assert.equal(form.status, 307);
  assert.equal(other.asked, 0);
  other.close();
});

test("one time limit holds for all hops together", async () => {
  answer = (_request, response) =>
    void setTimeout(() => response.writeHead(302, { location: "/" }).end(), 60);
  const asked = client.request({ url: server.url, timeoutMs: 150, maxBodyBytes: 10, maxRedirects: 20 });
  await assert.rejects(asked, /no answer within 150 ms/);
});

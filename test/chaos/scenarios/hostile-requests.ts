// Requests that are never forwarded: each is answered or its connection closed, none reaches the service, and another
// client is served meanwhile.
import assert from "node:assert/strict";
import { connectRaw } from "../../support/raw-http.ts";
import type { Scene } from "../../support/scene.ts";
import type { Scenario } from "../scenario.ts";

interface Hostile {
  readonly fault: string;
  readonly bytes: string;
  /** Status of the answer; `closed` = no answer, the connection is closed. */
  readonly expect: number | "closed";
}

const get = "GET /x HTTP/1.1\r\nHost: a\r\n";
const post = "POST /x HTTP/1.1\r\nHost: a\r\n";

const requests: readonly Hostile[] = [
  {
    fault: "length and chunks",
    bytes: `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    expect: 400,
  },
  {
    fault: "two lengths that differ",
    bytes: `${post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`,
    expect: 400,
  },
  { fault: "a length with a sign", bytes: `${post}Content-Length: +1\r\n\r\na`, expect: 400 },
  {
    fault: "a transfer coding beside chunked",
    bytes: `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    expect: 400,
  },
  { fault: "an empty transfer coding", bytes: `${post}Transfer-Encoding:\r\n\r\n`, expect: 400 },
  {
    fault: "a chunk size that is no number",
    bytes: `${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    expect: 400,
  },
  { fault: "bare LF line ends", bytes: "GET /x HTTP/1.1\nHost: a\n\n", expect: 400 },
  { fault: "a folded field", bytes: `${get}X-A: a\r\n b\r\n\r\n`, expect: 400 },
  { fault: "a space before the colon", bytes: `${get}X-A : a\r\n\r\n`, expect: 400 },
  { fault: "a NUL in a field", bytes: `${get}X-A: a\0b\r\n\r\n`, expect: 400 },
  { fault: "no Host", bytes: "GET /x HTTP/1.1\r\n\r\n", expect: 400 },
  { fault: "two Hosts", bytes: `${get}Host: b\r\n\r\n`, expect: 400 },
  { fault: "a Host with user info", bytes: "GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n", expect: 400 },
  {
    fault: "a target of another authority",
    bytes: "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    expect: 400,
  },
  { fault: "a target with a fragment", bytes: "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", expect: 400 },
  { fault: "a target beyond ASCII", bytes: "GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", expect: 400 },
  { fault: "a path that leaves the root", bytes: "GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", expect: 400 },
  { fault: "a malformed escape", bytes: "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", expect: 400 },
  { fault: "* with GET", bytes: "GET * HTTP/1.1\r\nHost: a\r\n\r\n", expect: 400 },
  { fault: "CONNECT", bytes: "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", expect: 400 },
  { fault: "a head of 20 KB", bytes: `${get}X-A: ${"a".repeat(20_000)}\r\n\r\n`, expect: 431 },
  { fault: "a TLS hello on a plain port", bytes: "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", expect: 400 },
  { fault: "HTTP/0.9", bytes: "GET /x\r\n\r\n", expect: 400 },
  {
    fault: "a request that loops",
    bytes: `${get}Via: ${Array.from({ length: 40 }, () => "1.1 outrigger").join(", ")}\r\n\r\n`,
    expect: 502,
  },
];

async function send(scene: Scene, { bytes, expect }: Hostile): Promise<string> {
  const forwarded: string[] = [];
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging"] },
    upstream(request, response) {
      if (request.url !== "/beside") forwarded.push(String(request.url));
      response.end("served");
    },
  });
  const beside = await connectRaw(sidecar.port);
  const client = await connectRaw(sidecar.port);
  client.send(bytes);
  const answer = expect === "closed" ? undefined : await client.answer();
  client.end();
  beside.send("GET /beside HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.equal((await beside.answer()).body, "served");
  beside.end();
  const { rest } = await client.closed;
  assert.equal(answer?.status ?? "closed", expect, answer?.head ?? rest);
  assert.deepEqual(forwarded, [], "nothing is forwarded");
  return `${answer?.status ?? "closed"}; not forwarded; the client beside is served`;
}

export const scenarios: readonly Scenario[] = requests.map((hostile) => ({
  group: "clients",
  fault: `a request with ${hostile.fault}`,
  promised: `${hostile.expect}, not forwarded, nobody else touched`,
  run: (scene) => send(scene, hostile),
}));

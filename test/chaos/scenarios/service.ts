// A service that misbehaves in forty ways: checks what its client gets, and that the next request is served.
import assert from "node:assert/strict";
import { connectRaw } from "../../support/raw-http.ts";
import type { RawPeer } from "../../support/raw-peer.ts";
import { startRawServer } from "../../support/raw-server.ts";
import type { Scene } from "../../support/scene.ts";
import type { Scenario } from "../scenario.ts";

const routeTimeoutMs = 400;

interface Misbehaviour {
  readonly fault: string;
  /** What the service does once it has the request's head. */
  readonly does: (peer: RawPeer) => void | Promise<void>;
  /** Status, and the code of the sidecar's problem document; or "broken off": the body must not look complete. */
  readonly expect: { readonly status: number; readonly code?: string } | "broken off";
}

const says =
  (text: string): Misbehaviour["does"] =>
  (peer) =>
    peer.end(text);
const keeps =
  (text: string): Misbehaviour["does"] =>
  (peer) =>
    peer.send(text);
const invalid = { status: 502, code: "upstream_invalid_response" } as const;
const reset = { status: 502, code: "upstream_reset" } as const;
const timeout = { status: 504, code: "upstream_timeout" } as const;
const ok = "HTTP/1.1 200 OK\r\n";

const misbehaviours: readonly Misbehaviour[] = [
  { fault: "accepts and resets", does: (peer) => peer.reset(), expect: reset },
  { fault: "accepts and closes", does: (peer) => peer.end(), expect: reset },
  { fault: "accepts and never answers", does: () => {}, expect: timeout },
  { fault: "sends half a status line and waits", does: keeps("HTTP/1.1 20"), expect: timeout },
  { fault: "sends half a head and closes", does: says(`${ok}Content-Le`), expect: reset },
  {
    fault: "sends half a head and resets",
    does: (peer) => (peer.send(`${ok}Con`), peer.reset()),
    expect: reset,
  },
  { fault: "answers in another protocol", does: says("SSH-2.0-OpenSSH_9.2\r\n\r\n"), expect: invalid },
  {
    fault: "answers with a TLS alert",
    does: (peer) => peer.end("\x15\x03\x01\x00\x02\x02\x46"),
    expect: invalid,
  },
  { fault: "answers with HTTP/0.9", does: says("<html>hello</html>"), expect: invalid },
  {
    fault: "answers with an HTTP/2 preface",
    does: says("\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80"),
    expect: invalid,
  },
  { fault: "answers HTTP/2.0 in text", does: says("HTTP/2.0 200 OK\r\n\r\n"), expect: invalid },
  {
    fault: "sends a status of two digits",
    does: says("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    expect: invalid,
  },
  { fault: "sends status 000", does: says("HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n"), expect: invalid },
  { fault: "sends a status that is no number", does: says("HTTP/1.1 abc OK\r\n\r\n"), expect: invalid },
  {
    fault: "ends lines with a bare LF",
    does: says("HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    expect: invalid,
  },
  {
    fault: "hides a CR in a field",
    does: says(`${ok}X-A: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n`),
    expect: invalid,
  },
  {
    fault: "hides a NUL in a field",
    does: says(`${ok}X-A: a\0b\r\nContent-Length: 0\r\n\r\n`),
    expect: invalid,
  },
  {
    fault: "folds a field over lines",
    does: says(`${ok}X-A: a\r\n b\r\nContent-Length: 0\r\n\r\n`),
    expect: invalid,
  },
  { fault: "puts a space before the colon", does: says(`${ok}Content-Length : 0\r\n\r\n`), expect: invalid },
  {
    fault: "sends a field without a name",
    does: says(`${ok}: a\r\nContent-Length: 0\r\n\r\n`),
    expect: invalid,
  },
  {
    fault: "sends a field without a colon",
    does: says(`${ok}nonsense\r\nContent-Length: 0\r\n\r\n`),
    expect: invalid,
  },
  {
    fault: "sends a head of a megabyte",
    does: says(`${ok}X-A: ${"a".repeat(1_048_576)}\r\n\r\n`),
    expect: invalid,
  },
  {
    fault: "sends ten thousand fields",
    does: says(`${ok}${"X-A: a\r\n".repeat(10_000)}\r\n`),
    expect: invalid,
  },
  {
    fault: "sends two lengths that differ",
    does: says(`${ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`),
    expect: invalid,
  },
  { fault: "sends a negative length", does: says(`${ok}Content-Length: -1\r\n\r\n`), expect: invalid },
  { fault: "sends a length with a sign", does: says(`${ok}Content-Length: +2\r\n\r\nab`), expect: invalid },
  {
    fault: "sends a length beyond numbers",
    does: says(`${ok}Content-Length: 99999999999999999999\r\n\r\n`),
    expect: invalid,
  },
  {
    fault: "sends length and chunks",
    does: says(`${ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
    expect: invalid,
  },
  {
    fault: "sends a transfer coding nobody knows",
    does: says(`${ok}Transfer-Encoding: zip\r\n\r\n`),
    expect: invalid,
  },
  {
    fault: "codes chunks twice",
    does: says(`${ok}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`),
    expect: invalid,
  },
  {
    fault: "switches protocols unasked",
    does: says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    expect: invalid,
  },
  {
    fault: "sends interim answers without end",
    does: async (peer) => {
      while (!peer.socket.destroyed) {
        peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(50));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    expect: invalid,
  },
  {
    fault: "dies in a body of known length",
    does: says(`${ok}Content-Length: 100\r\n\r\nhalf`),
    expect: "broken off",
  },
  {
    fault: "dies between chunks",
    does: says(`${ok}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`),
    expect: "broken off",
  },
  {
    fault: "dies inside a chunk",
    does: says(`${ok}Transfer-Encoding: chunked\r\n\r\nff\r\nhalf`),
    expect: "broken off",
  },
  {
    fault: "resets in a body",
    does: async (peer) => {
      peer.send(`${ok}Content-Length: 100\r\n\r\nhalf`);
      await new Promise((resolve) => setTimeout(resolve, 20));
      peer.reset();
    },
    expect: "broken off",
  },
  { fault: "stalls in a body", does: keeps(`${ok}Content-Length: 100\r\n\r\nhalf`), expect: "broken off" },
  {
    fault: "stalls between chunks",
    does: keeps(`${ok}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`),
    expect: "broken off",
  },
  {
    fault: "sends a chunk size that is no number",
    does: says(`${ok}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n`),
    expect: "broken off",
  },
  {
    fault: "sends a chunk size beyond numbers",
    does: says(`${ok}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nfffffffffffffffff\r\n`),
    expect: "broken off",
  },
  {
    fault: "forgets the end of a chunk",
    does: says(`${ok}Transfer-Encoding: chunked\r\n\r\n4\r\nhalfXX0\r\n\r\n`),
    expect: "broken off",
  },
  {
    fault: "sends more than it announced",
    does: says(`${ok}Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX-Smuggled: 1\r\n\r\n`),
    expect: { status: 200 },
  },
  {
    fault: "answers twice",
    does: says(`${ok}Content-Length: 2\r\n\r\nok${ok}Content-Length: 4\r\n\r\nevil`),
    expect: { status: 200 },
  },
  {
    fault: "sends a body with 204",
    does: says("HTTP/1.1 204 No Content\r\n\r\nbody"),
    expect: { status: 204 },
  },
  {
    fault: "sends a body with 304",
    does: says("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nbody"),
    expect: { status: 304 },
  },
  { fault: "names no length and closes", does: says(`${ok}\r\nall there is`), expect: { status: 200 } },
];

async function meet(scene: Scene, { does, expect }: Misbehaviour): Promise<string> {
  const service = await startRawServer(async (peer) => {
    for (;;) {
      const head = await peer.head();
      if (head.startsWith("GET /sound")) peer.send(`${ok}Content-Length: 5\r\n\r\nsound`);
      else return await does(peer);
    }
  });
  scene.after(() => service.close());
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging"], routes: [{ path: "/*", timeout: routeTimeoutMs }] },
    upstream: `http://127.0.0.1:${service.port}`,
  });
  const seen = await ask(sidecar.port, "/broken");
  const next = await ask(sidecar.port, "/sound");
  assert.deepEqual(
    [next.status, next.body, next.complete],
    [200, "sound", true],
    "the next request is served",
  );
  const line = await sidecar.line(({ path }) => path === "/broken");
  if (expect === "broken off") {
    assert.equal(seen.complete, false, `looks complete: ${JSON.stringify(seen)}`);
    assert.equal(line["end"], "upstream-aborted");
    return "reset in mid-body, logged; the next request is served";
  }
  assert.equal(seen.status, expect.status, JSON.stringify(seen));
  if (expect.code !== undefined) assert.equal((JSON.parse(seen.body) as { code: string }).code, expect.code);
  assert.ok(!seen.text.includes("Smuggled") && !seen.text.includes("evil"));
  return `${[seen.status, expect.code].filter(Boolean).join(" ")}; the next request is served`;
}

interface Seen {
  readonly status: number;
  readonly body: string;
  /** Everything that was received. */
  readonly text: string;
  /** Whether a client would take the answer for complete. */
  readonly complete: boolean;
}

async function ask(port: number, path: string): Promise<Seen> {
  const client = await connectRaw(port);
  client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  const { rest: text, reset } = await client.closed;
  // Interim answers come first.
  const final = text.replace(/^(?:HTTP\/1\.1 1\d\d [^]*?\r\n\r\n)+/, "");
  const [head = "", ...parts] = final.split("\r\n\r\n");
  const body = parts.join("\r\n\r\n");
  const length = /^content-length: (\d+)$/im.exec(head)?.[1];
  const chunked = /^transfer-encoding: chunked$/im.test(head);
  const whole =
    length === undefined
      ? chunked
        ? body.endsWith("0\r\n\r\n") || final.endsWith("\r\n0\r\n\r\n")
        : true
      : body.length === Number(length);
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0), body, text, complete: whole && !reset };
}

function promiseOf({ expect }: Misbehaviour): string {
  if (expect === "broken off")
    return "its client's connection is reset, never ended as if the answer were whole";
  return expect.code === undefined
    ? `${expect.status}, and nothing of what does not belong there`
    : `${expect.status} ${expect.code}`;
}

export const scenarios: readonly Scenario[] = misbehaviours.map((misbehaviour) => ({
  group: "service",
  fault: misbehaviour.fault,
  promised: promiseOf(misbehaviour),
  run: (scene) => meet(scene, misbehaviour),
}));

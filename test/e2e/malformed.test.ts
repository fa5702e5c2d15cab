// Contract section 8: requests that are never forwarded. Exact bytes in; the service must never hear of them.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Front, frontNames, makeFront } from "../support/fronts.ts";
import { readsInTurn } from "../support/listener.ts";
import { requestText } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { guardPlugin } from "../support/plugins.ts";

const head = (...lines: string[]): string => `${lines.join("\r\n")}\r\n\r\n`;

const malformed: readonly (readonly [string, string])[] = [
  [
    "both Content-Length and Transfer-Encoding",
    requestText("POST", "/", ["Content-Length: 3", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
  ],
  [
    "two Content-Length fields that differ",
    requestText("POST", "/", ["Content-Length: 3", "Content-Length: 4"], "abc"),
  ],
  [
    "two Content-Length fields that agree",
    requestText("POST", "/", ["Content-Length: 3", "Content-Length: 3"], "abc"),
  ],
  ["a list of lengths", requestText("POST", "/", ["Content-Length: 3, 3"], "abc")],
  ["a signed Content-Length", requestText("POST", "/", ["Content-Length: +3"], "abc")],
  ["a hexadecimal Content-Length", requestText("POST", "/", ["Content-Length: 0x3"], "abc")],
  ["an empty Content-Length", requestText("POST", "/", ["Content-Length:"])],
  ["a Content-Length past 2^53", requestText("POST", "/", ["Content-Length: 9007199254740993"])],
  [
    "a Transfer-Encoding other than chunked",
    requestText("POST", "/", ["Transfer-Encoding: gzip"], "0\r\n\r\n"),
  ],
  [
    "a Transfer-Encoding before chunked",
    requestText("POST", "/", ["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"),
  ],
  ["chunked twice", requestText("POST", "/", ["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n")],
  [
    "two Transfer-Encoding fields",
    requestText("POST", "/", ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], "0\r\n\r\n"),
  ],
  ["an obscured chunked", requestText("POST", "/", ["Transfer-Encoding: xchunked"], "0\r\n\r\n")],
  ["an empty Transfer-Encoding", requestText("POST", "/", ["Transfer-Encoding:"], "0\r\n\r\n")],
  [
    "a Transfer-Encoding with an empty member",
    requestText("POST", "/", ["Transfer-Encoding: ,chunked"], "0\r\n\r\n"),
  ],
  [
    "Transfer-Encoding in HTTP/1.0",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  ["bare LF as line ends", "GET / HTTP/1.1\nHost: a\n\n"],
  ["one bare LF", "GET / HTTP/1.1\r\nHost: a\nX-Y: z\r\n\r\n"],
  ["a bare CR in a field", "GET / HTTP/1.1\r\nHost: a\r\nX-Y: a\rb\r\n\r\n"],
  ["obsolete folding", "GET / HTTP/1.1\r\nHost: a\r\nX-Y: a\r\n b\r\n\r\n"],
  ["whitespace before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX-Y : a\r\n\r\n"],
  ["a field name with a space", "GET / HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n"],
  ["NUL in a field", "GET / HTTP/1.1\r\nHost: a\r\nX-Y: a\0b\r\n\r\n"],
  ["a control character in a field", "GET / HTTP/1.1\r\nHost: a\r\nX-Y: a\x01b\r\n\r\n"],
  ["a version 2.0", head("GET / HTTP/2.0")],
  ["a version 2.0, with Host", head("GET / HTTP/2.0", "Host: a")],
  ["a version 0.9", head("GET / HTTP/0.9", "Host: a")],
  ["no Host", head("GET / HTTP/1.1")],
  ["two Hosts", head("GET / HTTP/1.1", "Host: a", "Host: a")],
  ["an empty Host", head("GET / HTTP/1.1", "Host:")],
  ["a Host with user info", head("GET / HTTP/1.1", "Host: me@a")],
  ["a Host with a path", head("GET / HTTP/1.1", "Host: a/b")],
  ["a list of hosts", head("GET / HTTP/1.1", "Host: a, b")],
  ["a Host with a word for a port", head("GET / HTTP/1.1", "Host: a:http")],
  ["* with GET", requestText("GET", "*")],
  ["bytes outside ASCII in the path", requestText("GET", "/caf\xe9")],
  ["bytes outside ASCII in the query", requestText("GET", "/?q=caf\xe9")],
  ["a fragment in the target", requestText("GET", "/a#b")],
  ["an absolute target that disagrees with Host", requestText("GET", "http://other.example/")],
  ["an absolute target that cannot be parsed", requestText("GET", "http://[")],
  ["an absolute target of another scheme", requestText("GET", "ftp://api.example/")],
  ["a path that leaves the root", requestText("GET", "/../etc/passwd")],
  ["a path that leaves the root once decoded", requestText("GET", "/a/%2e%2e/%2e%2e/etc")],
  ["a malformed percent-escape", requestText("GET", "/a%zz")],
  ["a percent sign at the end", requestText("GET", "/a%")],
  ["a dot segment with a parameter", requestText("GET", "/a/..;x/b")],
  ["CONNECT", head("CONNECT a:80 HTTP/1.1", "Host: a:80")],
  ["an unknown method", requestText("GRAB", "/")],
  ["an unknown version", "GET / HTTP/1.7\r\nHost: a\r\n\r\n"],
];

for (const frontName of frontNames) {
  describe(`a malformed or ambiguous request over ${frontName}`, () => {
    let front: Front;
    let sidecar: TestSidecar;
    let heard = 0;
    before(async () => {
      front = makeFront(frontName);
      sidecar = await startSidecar({
        env: front.env,
        policy: {
          plugins: ["logging"],
          routes: [
            { path: "/*" },
            { path: "/early", bufferRequestBytes: 0 },
            { path: "/guarded/*", plugins: ["logging", "guard"] },
          ],
        },
        registry: [...(await import("../../plugins/index.ts")).registry, guardPlugin],
        upstream: (_request, response) => {
          heard += 1;
          response.end("heard");
        },
      });
    });
    after(async () => {
      await sidecar.stop();
      front.close();
    });

    for (const [name, bytes] of malformed) {
      it(`${name}: refused, logged once, counted, never forwarded`, async () => {
        const heardBefore = heard;
        const client = await front.connect(sidecar.port);
        client.send(bytes);
        const answer = await client.answer();
        assert.equal(answer.status, 400, answer.head);
        assert.equal(answer.field("content-type"), "application/problem+json");
        assert.equal(answer.field("connection"), "close");
        assert.match(answer.field("proxy-status") ?? "", /^outrigger; error=/);
        const problem = JSON.parse(answer.body) as Record<string, unknown>;
        assert.equal(problem["error"], "Bad request");
        assert.equal(problem["requestId"], answer.field("x-request-id"));
        await client.closed;
        const isOwn = (line: Record<string, unknown>): boolean => line["requestId"] === problem["requestId"];
        await sidecar.line(isOwn);
        assert.equal(sidecar.lines.filter(isOwn).length, 1);
        assert.equal(heard, heardBefore);
      });
    }

    it("the head is larger than the limit: 431", async () => {
      const client = await front.connect(sidecar.port);
      client.send(requestText("GET", "/", [`X-Large: ${"a".repeat(20_000)}`]));
      const answer = await client.answer();
      assert.equal(answer.status, 431);
      assert.equal(
        (JSON.parse(answer.body) as Record<string, unknown>)["error"],
        "Request header fields too large",
      );
    });

    it("garbage behind a request in flight closes the connection without a word into the answer", async () => {
      const client = await front.connect(sidecar.port);
      client.send(`${requestText("GET", "/first")}\x00\x01garbage\r\n\r\n`);
      const { rest } = await client.closed;
      if (readsInTurn) {
        assert.match(rest, /^HTTP\/1\.1 200 [^]*\r\nheard(?:\r\n0\r\n\r\n)?HTTP\/1\.1 400 /);
        return;
      }
      assert.match(rest, /^(HTTP\/1\.1 [24]00 |$)/);
      assert.equal(rest.split("HTTP/1.1").length <= 2, true, rest);
    });

    for (const [what, fields, part, rest] of [
      ["goes on with no chunk", ["Transfer-Encoding: chunked"], "5\r\nabcde\r\n", "zz\r\n"],
      ["ends in a chunk", ["Transfer-Encoding: chunked"], "5\r\nab", ""],
      ["ends too soon", ["Content-Length: 100"], "abc", ""],
      ["has a trailer without a name", ["Transfer-Encoding: chunked"], "1\r\na\r\n", "0\r\n: a\r\n\r\n"],
    ] as const) {
      it(`a body that ${what} when it is answered already ends the connection without a word`, async () => {
        const client = await front.connect(sidecar.port);
        // Each is a log line, too.
        const refused = async (): Promise<string | undefined> =>
          /^outrigger_refused_requests_total\{[^}]*"malformed_request".*$/m.exec(
            await sidecar.metrics(),
          )?.[0];
        const before = await refused();
        client.send(requestText("POST", "/early", fields, part));
        assert.equal((await client.answer()).status, 200);
        if (rest === "") client.end();
        else client.send(rest);
        assert.deepEqual(await client.closed, { reset: false, rest: "" });
        assert.equal(await refused(), before);
      });
    }

    it("is counted by its code", async () => {
      assert.match(
        await sidecar.metrics(),
        /outrigger_refused_requests_total\{[^}]*code="malformed_request"[^}]*\} [1-9]/,
      );
    });

    for (const path of ["/guarded/a%2fb", "/guarded/a%5cb", "/guarded/a\\b", "/guarded/a%00b"]) {
      it(`${path} is refused where a plugin guards, because services read it differently`, async () => {
        const client = await front.connect(sidecar.port);
        client.send(requestText("GET", path));
        assert.equal((await client.answer()).status, 400);
        client.end();
      });
    }

    it("an encoded slash goes through as it is where nothing guards", async () => {
      const client = await front.connect(sidecar.port);
      client.send(requestText("GET", "/open/a%2fb"));
      assert.equal((await client.answer()).status, 200);
      client.end();
    });

    it("HTTP/1.0 without Host is served", async () => {
      const client = await front.connect(sidecar.port);
      client.send("GET / HTTP/1.0\r\n\r\n");
      assert.equal((await client.answer()).body, "heard");
    });
  });
}

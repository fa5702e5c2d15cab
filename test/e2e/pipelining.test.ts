// Several requests on one connection at once (RFC 9112 section 9.3.2): answered in order, never mixed, and none served
// behind an answer that closes the connection.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, it } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { GatewayError } from "../../src/plugin-api/contract.ts";
import { readsInTurn } from "../support/listener.ts";
import { pluginWith } from "../support/plugins.ts";
import { connectRaw, rawClient, requestText } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

describe("pipelined requests", () => {
  let sidecar: TestSidecar;
  let outcomes: string[];
  /** Paths that the chain let through. */
  let heard: string[];
  let held: Map<string, ServerResponse>;
  /** Resolves when the service has that request. */
  let arrived: (path: string) => Promise<ServerResponse>;
  beforeEach(async () => {
    outcomes = [];
    heard = [];
    held = new Map();
    const waiting = new Map<string, (response: ServerResponse) => void>();
    arrived = (path) => {
      const response = held.get(path);
      return response === undefined
        ? new Promise((resolve) => waiting.set(path, resolve))
        : Promise.resolve(response);
    };
    const plugin = pluginWith("under-test", {
      onRequest: ({ request }) => {
        if (request.path === "/waiting") return new Promise(() => {});
        if (!request.path.startsWith("/refused")) {
          heard.push(request.path);
          return undefined;
        }
        return { action: "reject", error: new GatewayError("forbidden", "Not here.") };
      },
      onComplete: ({ request }, outcome) => void outcomes.push(`${request.path} ${outcome.end}`),
    });
    sidecar = await startSidecar({
      policy: { plugins: ["under-test"] },
      registry: [plugin],
      env: {
        OUTRIGGER_MAX_BODY_BYTES: "100",
        OUTRIGGER_CLIENT_SHARE: "51",
      },
      upstream: (request, response) => {
        const path = request.url as string;
        if (path.startsWith("/held")) {
          held.set(path, response);
          waiting.get(path)?.(response);
        } else response.end(path);
      },
    });
  });
  afterEach(() => sidecar.stop());

  it("ten at once, served and refused: ten answers in order", async () => {
    const client = await connectRaw(sidecar.port);
    const paths = Array.from({ length: 10 }, (_, i) => `/${i % 3 === 0 ? "refused" : "served"}/${i}`);
    client.send(paths.map((path) => requestText("GET", path)).join(""));
    for (const path of paths) {
      const { status, body } = await client.answer();
      if (path.startsWith("/served")) assert.deepEqual([status, body], [200, path]);
      else assert.equal(status, 403);
    }
    client.end();
  });

  it("the beginning of a body that waits keeps nothing alive of what came with it", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const count = 100;
    const clients = await Promise.all(Array.from({ length: count }, () => connectRaw(sidecar.port)));
    const before = process.memoryUsage().arrayBuffers;
    const begun = requestText("POST", "/begun", [`X-A: ${"a".repeat(14_000)}`, "Content-Length: 2"]);
    for (const client of clients) client.send(`${begun}b`);
    await eventually("they are there", () => heard.length === count);
    const keptAtMost = count * 4_096;
    await eventually(
      `no more than ${keptAtMost} bytes`,
      () => {
        collect();
        return process.memoryUsage().arrayBuffers - before < keptAtMost;
      },
      5_000,
    );
    for (const client of clients) client.send("b");
    for (const client of clients) assert.equal((await client.answer()).body, "/begun");
    for (const client of clients) client.end();
  });

  it("five thousand, more than one read brings: five thousand answers in order", async () => {
    const client = await connectRaw(sidecar.port);
    const paths = Array.from({ length: 5_000 }, (_, i) => `/refused/${i}`);
    client.send(paths.map((path) => requestText("GET", path, [`X-Request-Id: ${path}`])).join(""));
    // To look at all of it with every read would take longer than the answers.
    let end = "";
    const last = new Promise<void>((resolve) =>
      client.socket.on("data", (chunk: Buffer) => {
        end = (end + chunk.toString()).slice(-500);
        if (end.includes("refused/4999")) resolve();
      }),
    );
    await last;
    const ids = [...client.received().matchAll(/"requestId":"([^"]*)"/g)].map(([, id]) => id);
    assert.deepEqual(ids, paths);
    client.end();
  });

  // node:http bounds how many requests wait, our own listener their bytes: of one read of a
  // connection, 40 MiB in all, of which one address has half here.
  const crowdSize = readsInTurn ? 700 : 12;

  it("of one address leave others their turns, and a few even those of that address", async () => {
    const crowd = await Promise.all(Array.from({ length: crowdSize }, () => connectRaw(sidecar.port)));
    for (const client of crowd)
      client.send(requestText("GET", "/waiting") + "GET / HTTP/1.1\r\nHost:a\r\n\r\n".repeat(2_300));
    await sidecar.line(({ msg }) => String(msg).includes("its share of pipelined requests"));
    for (const [localAddress, count] of [
      ["127.0.0.2", 300],
      ["127.0.0.1", 5],
    ] as const) {
      const other = connect({ port: sidecar.port, host: "127.0.0.1", localAddress });
      await once(other, "connect");
      const client = rawClient(other);
      const paths = Array.from({ length: count }, (_, i) => `/${i}`);
      client.send(paths.map((path) => requestText("GET", path)).join(""));
      for (const path of paths) assert.equal((await client.answer()).body, path);
      client.end();
    }
    for (const each of crowd) each.socket.destroy();
  });

  it("the second reaches the service when the first is answered, not before", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/held", ["Content-Length: 2"], "hi") + requestText("GET", "/second"));
    const first = await arrived("/held");
    assert.deepEqual(heard, ["/held"]);
    first.end("first");
    assert.equal((await client.answer()).body, "first");
    assert.equal((await client.answer()).body, "/second");
    client.end();
  });

  it("a body that comes in pieces behind a request in flight is forwarded whole", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(requestText("GET", "/held") + requestText("POST", "/second", ["Content-Length: 4"], "ab"));
    const first = await arrived("/held");
    client.send("cd");
    first.end("first");
    assert.equal((await client.answer()).body, "first");
    assert.equal((await client.answer()).body, "/second");
    client.end();
  });

  for (const [what, bad, status] of [
    ["a malformed request", requestText("GET", "/bad", ["Host: a, b"]), 400],
    ["a body over the limit", requestText("POST", "/bad", ["Content-Length: 101"], "x".repeat(101)), 413],
    ["a refused body that is on its way", requestText("POST", "/refused", ["Content-Length: 9"], "a"), 403],
  ] as const) {
    it(`nothing behind ${what} is ever served`, async () => {
      const client = await connectRaw(sidecar.port);
      client.send(bad + requestText("GET", "/smuggled"));
      const answer = await client.answer();
      assert.equal(answer.status, status);
      assert.equal(answer.field("connection"), "close");
      assert.equal((await client.closed).rest, "");
      assert.deepEqual(heard, []);
    });
  }

  for (const options of ["keep-alive, close", "Close,keep-alive"])
    it(`nothing behind a request of HTTP/1.0 that says \`${options}\` is served`, async () => {
      const client = await connectRaw(sidecar.port);
      client.send(`GET /first HTTP/1.0\r\nConnection: ${options}\r\n\r\n` + requestText("GET", "/second"));
      const answer = await client.answer();
      assert.equal(answer.body, "/first");
      assert.equal(answer.field("connection"), "close");
      assert.equal((await client.closed).rest, "");
      assert.deepEqual(heard, ["/first"]);
    });

  it("after a refusal without a body the connection goes on", async () => {
    const client = await connectRaw(sidecar.port);
    for (let i = 0; i < 3; i += 1) {
      client.send(requestText("GET", "/refused"));
      assert.equal((await client.answer()).status, 403);
      client.send(requestText("GET", "/served"));
      assert.equal((await client.answer()).body, "/served");
    }
    client.end();
  });

  it("a service that breaks off in the middle: the client sees a reset, and nothing behind it is served", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(["/first", "/held", "/third"].map((path) => requestText("GET", path)).join(""));
    assert.equal((await client.answer()).body, "/first");
    const second = await arrived("/held");
    second.write("half");
    await client.until((text) => text.includes("half"));
    second.destroy();
    assert.equal((await client.closed).reset, true);
    assert.deepEqual(heard, ["/first", "/held"]);
  });

  it("a client that leaves is noticed however many requests wait behind, and leaves nothing open", async () => {
    const client = await connectRaw(sidecar.port);
    client.send(["/held", "/second", "/third"].map((path) => requestText("GET", path)).join(""));
    const first = await arrived("/held");
    client.socket.resetAndDestroy();
    first.end("x".repeat(10_000_000));
    await sidecar.stop();
    assert.deepEqual(outcomes, ["/held client-aborted"]);
    assert.deepEqual(heard, ["/held"]);
  });

  it("on many connections at once are bounded: some connections end, others are served, then and afterwards", async () => {
    const size = readsInTurn ? crowdSize : 30;
    const request = "GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n";
    const clients = await Promise.all(Array.from({ length: size }, () => connectRaw(sidecar.port)));
    for (const client of clients) client.send(request.repeat(1_900));
    await Promise.race(clients.map(({ closed }) => closed));
    assert.equal((await fetch(`${sidecar.url}/served`)).status, 200);
    for (const { socket } of clients) socket.destroy();
    await Promise.all(clients.map(({ closed }) => closed));
    // What they took is given back once the sidecar has seen them go: as many may wait again.
    await eventually("an answer to each", async () => {
      const client = await connectRaw(sidecar.port);
      try {
        client.send(requestText("GET", "/first") + requestText("GET", "/second").repeat(600));
        assert.equal((await client.answer()).body, "/first");
        for (let i = 0; i < 600; i += 1) assert.equal((await client.answer()).body, "/second");
        return true;
      } catch (error) {
        if (!String(error).includes("connection over")) throw error;
        return false;
      } finally {
        client.end();
      }
    });
  });
});

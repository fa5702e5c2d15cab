// The life of an exchange when clients leave, services die and plugins fail at the same time: it ends exactly once, and
// leaves no call, hook, tap or snapshot behind.
import assert from "node:assert/strict";
import { Transform } from "node:stream";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { BodyTap, Exchange, Hooks, Outcome } from "../../src/plugin-api/contract.ts";
import { pluginWith } from "../support/plugins.ts";
import { connectRaw, requestText, startRawService, type RawService } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

describe("the drain", () => {
  it("ends at its limit although a hook has longer, and completes what it cuts off", async () => {
    const outcomes: string[] = [];
    const entered = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
    const slow = pluginWith("slow", {
      onRequest: ({ request }) => {
        entered[request.path === "/left" ? 0 : 1].resolve();
        return new Promise<never>(() => {});
      },
      onComplete: (_exchange, outcome) => void outcomes.push(outcome.end),
      timeLimitMs: { onRequest: 60_000 },
    });
    const sidecar = await startSidecar({
      policy: { plugins: ["slow"] },
      registry: [slow],
      upstream: (_request, response) => response.end(),
      env: { OUTRIGGER_DRAIN_MS: "100" },
    });
    const left = await connectRaw(sidecar.port);
    left.send(requestText("GET", "/left"));
    await entered[0].promise;
    left.socket.destroy();
    const waiting = await connectRaw(sidecar.port);
    waiting.send(requestText("GET", "/"));
    await entered[1].promise;
    const beganMono = performance.now();
    await sidecar.stop();
    assert.ok(performance.now() - beganMono < 20_000);
    await waiting.closed;
    assert.deepEqual(outcomes, ["shutdown", "shutdown"]);
  });
});

describe("an exchange", () => {
  let hooks: Hooks;
  let later: Hooks;
  let outcomes: Outcome[];
  let closed: number;
  let service: RawService;
  let sidecar: TestSidecar;
  let completed: PromiseWithResolvers<Outcome>;
  beforeEach(async () => {
    hooks = {};
    later = {};
    outcomes = [];
    closed = 0;
    completed = Promise.withResolvers();
    service = await startRawService();
    const first = pluginWith(
      "first",
      {
        onRequest: (exchange) => hooks.onRequest?.(exchange),
        onResponse: (exchange, response) => hooks.onResponse?.(exchange, response),
        onError: (exchange, error) => hooks.onError?.(exchange, error),
        onComplete: (_exchange, outcome) => {
          outcomes.push(outcome);
          completed.resolve(outcome);
        },
        close: () => void (closed += 1),
      },
      { priority: 1 },
    );
    const second = pluginWith(
      "second",
      {
        onRequest: (exchange) => later.onRequest?.(exchange),
        onResponse: (exchange, response) => later.onResponse?.(exchange, response),
        onComplete: (exchange, outcome) => later.onComplete?.(exchange, outcome),
      },
      { priority: 2 },
    );
    sidecar = await startSidecar({
      policy: {
        plugins: ["first", "second"],
        routes: [{ path: "/*", timeout: 1_000, bufferRequestBytes: 0 }],
      },
      registry: [first, second],
      upstream: service.url,
      env: {
        OUTRIGGER_CLIENT_STALL_MS: "300",
        OUTRIGGER_MIN_BYTES_PER_SECOND: "1000000",
        OUTRIGGER_MAX_BODY_BYTES: "1000000",
      },
    });
  });
  afterEach(async () => {
    service.close();
    // Only returns when no exchange is left; and no plugin is closed twice.
    await sidecar.stop();
    assert.equal(closed, 2);
  });
  const asked = async (text: string) => {
    const client = await connectRaw(sidecar.port);
    client.send(text);
    const upstream = await service.next();
    await upstream.until((received) => received.includes("\r\n\r\n"));
    return { client, upstream };
  };
  const held = <T>() => ({ ...Promise.withResolvers<T>(), reached: Promise.withResolvers<Exchange>() });
  const tapRecord = (record: string[]): BodyTap => ({
    chunk: (bytes) => void record.push(String(bytes)),
    end: () => void record.push("end"),
    abort: () => void record.push("abort"),
  });

  describe("whose client leaves", () => {
    it("while a request hook is at work: later hooks do not run, onComplete waits for the hook", async () => {
      const hook = held<undefined>();
      let laterRan = false;
      hooks.onRequest = (exchange) => {
        hook.reached.resolve(exchange);
        return hook.promise;
      };
      later.onRequest = () => void (laterRan = true);
      const client = await connectRaw(sidecar.port);
      client.send(requestText("GET", "/"));
      const exchange = await hook.reached.promise;
      const { signal } = exchange;
      client.socket.destroy();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      assert.deepEqual(outcomes, []);
      hook.resolve(undefined);
      const outcome = await completed.promise;
      assert.equal(outcome.end, "client-aborted");
      assert.equal(laterRan, false);
      assert.equal(service.connections.length, 0);
      assert.equal(outcomes.length, 1);
    });

    it("while a response hook is at work: its taps hear of an abort, once", async () => {
      const record: string[] = [];
      const hook = held<undefined>();
      later.onResponse = (_exchange, response) => response.tap(tapRecord(record));
      hooks.onResponse = (exchange) => {
        hook.reached.resolve(exchange);
        return hook.promise;
      };
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(ok);
      const { signal } = await hook.reached.promise;
      client.socket.destroy();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      hook.resolve(undefined);
      await completed.promise;
      await sidecar.stop();
      assert.deepEqual(record, ["abort"]);
      assert.equal(outcomes.length, 1);
    });

    it("while an error hook is at work: no response phase runs any more", async () => {
      const hook = held<undefined>();
      let responses = 0;
      hooks.onError = (exchange) => {
        hook.reached.resolve(exchange);
        return hook.promise;
      };
      hooks.onResponse = () => void (responses += 1);
      const { client, upstream } = await asked(requestText("POST", "/", ["Content-Length: 0"]));
      upstream.socket.destroy();
      const { signal } = await hook.reached.promise;
      client.socket.destroy();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      hook.resolve(undefined);
      await completed.promise;
      assert.equal(responses, 0);
      assert.equal(outcomes.length, 1);
    });
  });

  describe("whose response hook is at work", () => {
    it("when the service dies: 502, not the answer that is lost", async () => {
      const hook = held<undefined>();
      const record: string[] = [];
      hooks.onResponse = (exchange, response) => {
        if (response.origin !== "upstream") return undefined;
        response.tap(tapRecord(record));
        hook.reached.resolve(exchange);
        return hook.promise;
      };
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
      await hook.reached.promise;
      upstream.socket.resetAndDestroy();
      assert.equal((await client.answer()).status, 502);
      hook.resolve(undefined);
      await completed.promise;
      client.end();
      await client.closed;
      assert.deepEqual(record, ["abort"]);
      assert.equal(outcomes.length, 1);
    });

    it("when the upload stalls: 408, and the connection ends", async () => {
      const hook = held<undefined>();
      hooks.onResponse = (_exchange, response) => (response.origin === "upstream" ? hook.promise : undefined);
      const { client, upstream } = await asked(requestText("POST", "/", ["Content-Length: 10"], "half"));
      upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
      assert.equal((await client.answer()).status, 408);
      hook.resolve(undefined);
      await client.closed;
      await upstream.closed;
      assert.equal(outcomes.length, 1);
    });

    it("body chunks and the end wait for it", async () => {
      const hook = held<undefined>();
      hooks.onResponse = (exchange) => {
        hook.reached.resolve(exchange);
        return hook.promise;
      };
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(`${chunked}2\r\nab\r\n2\r\ncd\r\n0\r\nX-Sum: 1\r\n\r\n`);
      upstream.end();
      await hook.reached.promise;
      hook.resolve(undefined);
      assert.equal((await client.answer()).body, "abcd");
      client.end();
    });
  });

  it("answered before its upload ended goes on: the rest is read, the connection serves the next", async () => {
    const { client, upstream } = await asked(requestText("POST", "/", ["Content-Length: 8"], "half"));
    upstream.send(ok);
    assert.equal((await client.answer()).body, "body");
    client.send(`half${requestText("GET", "/next")}`);
    (await service.next()).send(ok);
    assert.equal((await client.answer()).body, "body");
    client.end();
  });

  describe("whose body a plugin changes", () => {
    it("replaced while the service's comes: the service's call is given up", async () => {
      hooks.onResponse = (_exchange, response) => response.replaceBody("mine");
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(`${chunked}5\r\ntheir`);
      const answer = await client.answer();
      assert.deepEqual([answer.body, answer.field("content-length")], ["mine", "4"]);
      await upstream.closed;
      client.end();
    });

    const through = (transform: () => Transform): void => {
      hooks.onResponse = (_exchange, response) => response.through(transform());
    };
    const upper = (): Transform =>
      new Transform({
        transform: (chunk, _encoding, done) => done(null, `${String(chunk).toUpperCase()}!`),
      });

    it("through a transform: what it makes of it, without the length from before", async () => {
      through(upper);
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(ok);
      const answer = await client.answer();
      assert.deepEqual([answer.body, answer.field("content-length")], ["BODY!", undefined]);
      client.end();
    });

    it("through a transform, for HEAD: no body comes of it", async () => {
      through(
        () =>
          new Transform({
            transform: (chunk, _encoding, done) => done(null, chunk),
            flush: (done) => done(null, "tail"),
          }),
      );
      const { client, upstream } = await asked(requestText("HEAD", "/"));
      upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n");
      await client.until((text) => text.endsWith("\r\n\r\n"));
      assert.equal((await completed.promise).responseBytes, 0);
      client.end();
    });

    describe("with trailers", () => {
      const answer = `${chunked}4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-Inner: 2\r\n\r\n`;
      const trailersOf = async (client: Awaited<ReturnType<typeof connectRaw>>): Promise<string> => {
        const text = await client.until((received) => /\r\n0\r\n(?:[^\r]+\r\n)*\r\n$/.test(received));
        return text.slice(text.lastIndexOf("\r\n0\r\n") + 5);
      };

      it("a plugin sees the service's when the body is through, takes some out and adds its own", async () => {
        let seen: string[] = [];
        later.onResponse = (_exchange, response) => {
          response.trailers.append("X-Early", "0");
          const end = (): void => {
            seen = [...response.trailers.toFlat()];
            response.trailers.delete("x-inner");
            response.trailers.append("X-Late", "3");
            // RFC 9110 section 6.5.1.
            response.trailers.append("Set-Cookie", "a=1");
          };
          response.tap({ chunk: () => {}, end, abort: () => {} });
        };
        const { client, upstream } = await asked(requestText("GET", "/"));
        upstream.send(answer);
        assert.equal(await trailersOf(client), "X-Early: 0\r\nX-Sum: 1\r\nX-Late: 3\r\n\r\n");
        assert.deepEqual(seen, ["X-Early", "0", "X-Sum", "1", "X-Inner", "2"]);
        client.end();
      });

      it("through a transform: they follow what it makes of the body", async () => {
        through(upper);
        const { client, upstream } = await asked(requestText("GET", "/"));
        upstream.send(answer);
        assert.equal(await trailersOf(client), "X-Sum: 1\r\nX-Inner: 2\r\n\r\n");
        client.end();
      });

      it("where the length is announced there is no room for them", async () => {
        hooks.onResponse = (_exchange, response) => response.trailers.append("X-Sum", "1");
        const { client, upstream } = await asked(requestText("GET", "/"));
        upstream.send(ok);
        assert.equal((await client.answer()).body, "body");
        assert.equal((await completed.promise).end, "complete");
        client.end();
      });

      it("one that cannot be sent: the client sees a reset", async () => {
        hooks.onResponse = (_exchange, response) => response.trailers.append("X-Sum", "a\r\nb");
        const { client, upstream } = await asked(requestText("GET", "/"));
        upstream.send(answer);
        assert.equal((await client.closed).reset, true);
        assert.equal((await completed.promise).end, "failed");
      });
    });

    for (const [what, transform] of [
      ["fails", (_c: unknown, _e: string, done: (error: Error) => void) => done(new Error("a bug"))],
      ["never gives anything", () => {}],
      [
        "is destroyed without a word",
        function destroySelf(this: Transform): void {
          this.destroy();
        },
      ],
    ] as const) {
      it(`through a transform that ${what}: the client sees a reset, the service's call is given up`, async () => {
        through(() => new Transform({ transform }));
        const { client, upstream } = await asked(requestText("GET", "/"));
        upstream.send(`${chunked}5\r\ntheir\r\n0\r\n\r\n`);
        const { rest } = await client.closed;
        assert.doesNotMatch(rest, /0\r\n\r\n$/);
        await upstream.closed;
        assert.equal((await completed.promise).end, "failed");
      });
    }

    it("through a transform that gives objects: a reset, and the process goes on", async () => {
      through(
        () =>
          new Transform({ readableObjectMode: true, transform: (_chunk, _encoding, done) => done(null, {}) }),
      );
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(ok);
      await client.closed;
      assert.equal(outcomes.length, 1);
    });

    it("through a transform that ends early: what it gave is the body, the rest is not waited for", async () => {
      through(
        () =>
          new Transform({
            transform(chunk, _encoding, done) {
              this.push(chunk);
              this.push(null);
              done();
            },
          }),
      );
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(`${chunked}5\r\nfirst\r\n`);
      assert.equal((await client.answer()).body, "first");
      await upstream.closed;
      client.end();
    });

    it("with a length that is not the body's: a reset, never a part of the next answer", async () => {
      for (const length of ["2", "9"]) {
        hooks.onResponse = (_exchange, response) => response.fields.set("Content-Length", length);
        const { client, upstream } = await asked(requestText("GET", "/"));
        upstream.send(ok);
        const { rest } = await client.closed;
        assert.doesNotMatch(rest, /\r\n\r\nbody$/);
      }
    });

    it("with two lengths, or one that is no number: 500", async () => {
      for (const spoil of ["4", "four"]) {
        hooks.onResponse = (_exchange, { fields, origin }) => {
          if (origin === "upstream") fields.append("Content-Length", spoil);
        };
        const { client, upstream } = await asked(requestText("GET", "/"));
        upstream.send(ok);
        assert.equal((await client.answer()).status, 500);
        client.end();
      }
    });

    it("into a status without one: no length, no bytes, and the connection goes on", async () => {
      hooks.onResponse = (_exchange, response) => void (response.status = 204);
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(ok);
      const answer = await client.answer();
      assert.deepEqual([answer.status, answer.field("content-length")], [204, undefined]);
      hooks = {};
      client.send(requestText("GET", "/next"));
      (await service.next()).send(ok);
      assert.equal((await client.answer()).body, "body");
      client.end();
    });

    it("into 205: it has no content and says so, in its own words", async () => {
      hooks.onResponse = (_exchange, response) => void (response.status = 205);
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(ok);
      const answer = await client.answer();
      assert.match(answer.head, /^HTTP\/1\.1 205 Reset Content\r\n/);
      assert.deepEqual([answer.field("content-length"), answer.body], ["0", ""]);
      hooks = {};
      client.send(requestText("GET", "/next"));
      (await service.next()).send(ok);
      assert.equal((await client.answer()).body, "body");
      client.end();
    });

    for (const status of [101, 99, 1000, Number.NaN]) {
      it(`into the status ${status}: 500`, async () => {
        hooks.onResponse = (_exchange, response) => {
          if (response.origin === "upstream") response.status = status;
        };
        const { client, upstream } = await asked(requestText("GET", "/"));
        upstream.send(ok);
        assert.equal((await client.answer()).status, 500);
        client.end();
      });
    }
  });

  describe("whose body is tapped", () => {
    it("each tap hears every chunk, and one end", async () => {
      const record: string[] = [];
      hooks.onResponse = (_exchange, response) => response.tap(tapRecord(record));
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(ok);
      await client.answer();
      await completed.promise;
      assert.deepEqual(record, ["body", "end"]);
      client.end();
    });

    it("one that throws is let go and told of an abort; the body arrives", async () => {
      const record: string[] = [];
      const bad: BodyTap = {
        ...tapRecord(record),
        chunk: () => {
          throw new Error("a bug");
        },
      };
      hooks.onResponse = (_exchange, response) => response.tap(bad);
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(ok);
      assert.equal((await client.answer()).body, "body");
      await completed.promise;
      assert.deepEqual(record, ["abort"]);
      await sidecar.line((line) => line["msg"] === "body tap failed");
      client.end();
    });

    it("a later response hook that fails aborts it, and the answer is a 503", async () => {
      const record: string[] = [];
      later.onResponse = (_exchange, response) => response.tap(tapRecord(record));
      hooks.onResponse = () => {
        throw new Error("a bug");
      };
      const { client, upstream } = await asked(requestText("GET", "/"));
      upstream.send(ok);
      assert.equal((await client.answer()).status, 503);
      assert.deepEqual(record, ["abort"]);
      await upstream.closed;
      client.end();
    });
  });

  it("whose client takes nothing of a small answer behind many others is cut off", async () => {
    const client = await connectRaw(sidecar.port);
    client.socket.pause();
    hooks.onRequest = () => ({ action: "respond", status: 200, body: "x".repeat(2_000) });
    client.socket.on("error", () => {});
    const request = requestText("GET", "/").repeat(100);
    while (!client.socket.destroyed) {
      if (!client.socket.write(request)) {
        await Promise.race([client.closed, new Promise((resolve) => client.socket.once("drain", resolve))]);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(outcomes.at(-1)?.end, "client-aborted");
  });
});

// Plugins that do what the contract forbids or does not foresee: the worst result is an error answer.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { PassThrough } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { GatewayError, type Exchange, type Fields, type Hooks } from "../../src/plugin-api/contract.ts";
import { pluginWith } from "../support/plugins.ts";
import { connectRaw, requestText } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

let hooks: Hooks;
let later: Hooks;
let sidecar: TestSidecar;
/** Requests that reached the service, with their fields as they came. */
let heard: string[][];

const start = async (failMode: "open" | "closed" = "closed"): Promise<void> => {
  const of = (given: () => Hooks): Hooks => ({
    onRequest: (exchange) => given().onRequest?.(exchange),
    onResponse: (exchange, response) => given().onResponse?.(exchange, response),
    onError: (exchange, error) => given().onError?.(exchange, error),
    onComplete: (exchange, outcome) => given().onComplete?.(exchange, outcome),
    timeLimitMs: { onRequest: 100 },
  });
  sidecar = await startSidecar({
    policy: { plugins: ["first", "second"], routes: [{ path: "/*", bufferRequestBytes: 0 }] },
    registry: [
      pluginWith(
        "first",
        of(() => hooks),
        { priority: 1, failMode },
      ),
      pluginWith(
        "second",
        of(() => later),
        { priority: 2 },
      ),
    ],
    env: { OUTRIGGER_CLIENT_STALL_MS: "300" },
    upstream: (request, response) => {
      heard.push(request.rawHeaders);
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.once("end", () => response.end(Buffer.concat(chunks)));
    },
  });
};
const reset = (): void => {
  hooks = {};
  later = {};
  heard = [];
};

/** What a plugin without types might return. */
const returning = (value: unknown) => (): undefined => value as undefined;
const codeOf = async (answer: Response): Promise<unknown> => ((await answer.json()) as { code: string }).code;

describe("a hook that returns no verdict", () => {
  beforeEach(reset);
  afterEach(() => sidecar.stop());
  for (const [what, value] of [
    ["a number", 7],
    ["true", true],
    ["an unknown action", { action: "nonsense" }],
    ["a reject without an error", { action: "reject" }],
    ["a reject with another error", { action: "reject", error: new Error("x") }],
    ["no status", { action: "respond" }],
    ["status 99", { action: "respond", status: 99 }],
    ["status 101", { action: "respond", status: 101 }],
    ["status 1000", { action: "respond", status: 1000 }],
    ["status NaN", { action: "respond", status: Number.NaN }],
    ["a status in words", { action: "respond", status: "200" }],
    ["a body of another kind", { action: "respond", status: 200, body: { a: 1 } }],
    ["fields as an object", { action: "respond", status: 200, fields: { a: "1" } }],
    ["fields of odd length", { action: "respond", status: 200, fields: ["X-A"] }],
    ["fields that are no text", { action: "respond", status: 200, fields: ["X-A", 1] }],
  ] as const) {
    it(`${what}: a fault of the plugin, by its fail mode, at once or later`, async () => {
      await start();
      for (const onRequest of [returning(value), returning(Promise.resolve(value))]) {
        hooks = { onRequest };
        const answer = await fetch(sidecar.url);
        assert.equal(answer.status, 503);
        assert.equal(await codeOf(answer), "plugin_failed");
      }
      await sidecar.stop();
      await start("open");
      assert.equal((await fetch(sidecar.url)).status, 200);
    });
  }

  it("in onError: the first error stands", async () => {
    hooks = {
      onRequest: () => {
        throw new GatewayError("forbidden", "No.");
      },
      onError: returning({ action: "nonsense" }),
    };
    await start();
    assert.equal((await fetch(sidecar.url)).status, 403);
  });

  it("a line end in a field of its answer: 500, nothing of it is sent", async () => {
    await start();
    for (const fields of [
      ["X-A", "1\r\nX-B: 2"],
      ["X-A\r\nX-B: 2", "1"],
      ["X A", "1"],
      ["", "1"],
    ]) {
      hooks = { onRequest: () => ({ action: "respond", status: 200, fields }) };
      const answer = await fetch(sidecar.url);
      assert.equal(answer.status, 500);
      assert.equal(answer.headers.get("x-b"), null);
      await answer.body?.cancel();
    }
  });

  for (const [what, given, through] of [
    ["204", { onRequest: () => ({ action: "respond", status: 204 }) }, false],
    ["304", { onRequest: () => ({ action: "respond", status: 304 }) }, false],
    ["200", {}, false],
    ["200 that goes through a transform", {}, true],
  ] satisfies [string, Hooks, boolean][]) {
    it(`a line end in a field of a ${what}: a whole 500, and the connection goes on`, async () => {
      await start();
      later = given;
      hooks = {
        onResponse: (_exchange, response) => {
          response.fields.set("X-A", "1\r\nX-B: 2");
          if (through) response.through(new PassThrough());
        },
      };
      const client = await connectRaw(sidecar.port);
      client.send(requestText("GET", "/"));
      const answer = await client.answer();
      assert.match(answer.head, /^HTTP\/1\.1 500 Internal Server Error\r\n/);
      assert.equal((JSON.parse(answer.body) as Record<string, unknown>)["code"], "internal_error");
      reset();
      client.send(requestText("GET", "/next"));
      assert.equal((await client.answer()).status, 200);
      client.end();
    });
  }

  it("null is nothing", async () => {
    hooks = { onRequest: returning(null) };
    await start();
    assert.equal((await fetch(sidecar.url)).status, 200);
  });
});

describe("an error of a plugin that brings its own copy of the contract", () => {
  beforeEach(async () => {
    reset();
    await start();
  });
  afterEach(() => sidecar.stop());
  const copied = async (): Promise<typeof GatewayError> => {
    const copy = "../../src/plugin-api/errors.ts?copy";
    const { GatewayError: Copied } = (await import(copy)) as { GatewayError: typeof GatewayError };
    assert.notEqual(Copied, GatewayError);
    return Copied;
  };

  it("counts as one of ours: thrown, rejected, in a verdict, in any phase", async () => {
    const Copied = await copied();
    const more = { fields: ["Retry-After", "7"], type: "tag:example,2026:quota", members: { left: 0 } };
    const error = new Copied("rate_limited", "Enough.", more);
    const throwing = (): never => {
      throw error;
    };
    for (const given of [
      { onRequest: throwing },
      { onRequest: () => Promise.reject(error) },
      { onRequest: () => ({ action: "reject", error }) as const },
      { onRequest: async () => ({ action: "reject", error }) as const },
      { onResponse: throwing },
    ] satisfies Hooks[]) {
      hooks = given;
      const answer = await fetch(sidecar.url);
      assert.equal(answer.status, 429);
      assert.equal(answer.headers.get("retry-after"), "7");
      const { code, detail, type, left } = (await answer.json()) as Record<string, unknown>;
      assert.deepEqual([code, detail, type, left], ["rate_limited", "Enough.", more.type, 0]);
    }
    assert.equal(/^outrigger_plugin_errors_total\{.* [1-9]/m.test(await sidecar.metrics()), false);
  });

  it("is a fault of the plugin when no answer can be made of it", async () => {
    const Copied = await copied();
    const spoilt = (parts: object): Error => Object.assign(new Copied("forbidden", "No."), parts);
    for (const error of [
      spoilt({ code: "nosuch" }),
      spoilt({ code: "toString" }),
      spoilt({ detail: 7 }),
      spoilt({ fields: ["X-A"] }),
      spoilt({ fields: ["X-A", 1] }),
      spoilt({ type: undefined }),
      spoilt({ members: 7n }),
      spoilt({ members: { a: 7n } }),
      Object.assign(new GatewayError("forbidden", "No."), { code: "nosuch" }),
      { code: "forbidden", detail: "No.", fields: [], type: "about:blank", members: {} },
    ]) {
      for (const onRequest of [() => Promise.reject(error), returning({ action: "reject", error })]) {
        hooks = { onRequest };
        const answer = await fetch(sidecar.url);
        assert.equal(answer.status, 503);
        assert.equal(await codeOf(answer), "plugin_failed");
      }
    }
  });
});

describe("a hook that returns a thenable which is no Promise", () => {
  beforeEach(async () => {
    reset();
    await start();
  });
  afterEach(() => sidecar.stop());
  // oxlint-disable-next-line unicorn/no-thenable -- that is what is tested
  const thenable = (value: unknown) => ({ then: (done: (value: unknown) => void) => done(value) });

  it("is waited for", async () => {
    hooks = {
      onRequest: returning(thenable({ action: "respond", status: 418 })),
      onResponse: returning(thenable(undefined)),
    };
    assert.equal((await fetch(sidecar.url)).status, 418);
    hooks = { onRequest: returning(thenable(undefined)) };
    assert.equal((await fetch(sidecar.url)).status, 200);
  });

  it("and never settles: its time limit ends it", async () => {
    // oxlint-disable-next-line unicorn/no-thenable
    hooks = { onRequest: returning({ then: () => {} }) };
    assert.equal((await fetch(sidecar.url)).status, 503);
  });
});

describe("an asynchronous onComplete that rejects", () => {
  it("is counted and logged, and is no unhandled rejection", async () => {
    reset();
    await start();
    // An async function passes for one that returns nothing.
    hooks = { onComplete: () => Promise.reject(new Error("a bug")) as unknown as undefined };
    assert.equal((await fetch(sidecar.url)).status, 200);
    await sidecar.line((line) => line["phase"] === "onComplete");
    await sidecar.stop();
  });
});

describe("a plugin that changes the request's fields", () => {
  beforeEach(async () => {
    reset();
    await start();
  });
  afterEach(() => sidecar.stop());
  const post = async (change: (fields: Fields) => void) => {
    hooks = { onRequest: ({ request }) => change(request.fields) };
    const answer = await fetch(sidecar.url, { method: "POST", body: "body" });
    return { status: answer.status, body: await answer.text(), fields: flatMap(heard.at(-1) ?? []) };
  };
  const flatMap = (flat: string[]): Map<string, string> => {
    const map = new Map<string, string>();
    for (let i = 0; i < flat.length; i += 2) {
      const name = (flat[i] as string).toLowerCase();
      map.set(name, map.has(name) ? `${map.get(name)}|${flat[i + 1]}` : (flat[i + 1] as string));
    }
    return map;
  };

  for (const [what, change] of [
    ["a line end in a value", (fields: Fields) => fields.set("X-A", "1\r\nX-B: 2")],
    ["a line end in a name", (fields: Fields) => fields.set("X-A: 1\r\nX-B", "2")],
    ["a character that ends as a line end", (fields: Fields) => fields.set("X-A", "1\u010dX-B: 2")],
    ["two hosts", (fields: Fields) => fields.append("Host", "other.example")],
  ] as const) {
    it(`${what}: an error answer, nothing reaches the service`, async () => {
      const { status } = await post(change);
      assert.ok(status === 400 || status === 500, String(status));
      assert.deepEqual(heard, []);
      hooks = {};
      assert.equal((await fetch(sidecar.url)).status, 200);
    });
  }

  for (const [what, change] of [
    ["deletes Host", (fields: Fields) => fields.delete("host")],
    ["deletes Content-Length", (fields: Fields) => fields.delete("content-length")],
    ["sets another Content-Length", (fields: Fields) => fields.set("Content-Length", "2")],
    ["adds a second Content-Length", (fields: Fields) => fields.append("Content-Length", "2")],
    ["sets Transfer-Encoding", (fields: Fields) => fields.set("Transfer-Encoding", "chunked")],
    ["sets Connection and Upgrade", (fields: Fields) => fields.set("Connection", "close, host")],
  ] as const) {
    it(`${what}: the body arrives with its own framing and host`, async () => {
      const { status, body, fields } = await post(change);
      assert.deepEqual([status, body], [200, "body"]);
      assert.equal(fields.get("content-length"), "4");
      assert.equal(fields.get("transfer-encoding"), undefined);
      assert.equal(fields.get("host"), `127.0.0.1:${sidecar.port}`);
    });
  }

  it("announces a body for a request that has none: it is sent without", async () => {
    hooks = { onRequest: ({ request }) => request.fields.set("Content-Length", "10") };
    assert.equal((await fetch(sidecar.url)).status, 200);
  });
});

describe("a plugin that reads the body", () => {
  beforeEach(async () => {
    reset();
    await start();
  });
  afterEach(() => sidecar.stop());
  const post = (body: string): Promise<Response> => fetch(sidecar.url, { method: "POST", body });
  const large = "x".repeat(500_000);

  it("over its limit: 413 that the client gets to read, even in the middle of its upload", async () => {
    hooks = { onRequest: async (exchange) => void (await exchange.readBody(10)) };
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/", ["Content-Length: 500000"], large.slice(0, 1_000)));
    assert.equal((await client.answer()).status, 413);
    client.socket.destroy();
    const chunked = await connectRaw(sidecar.port);
    chunked.send(requestText("POST", "/", ["Transfer-Encoding: chunked"], `400\r\n${large.slice(0, 1024)}`));
    assert.equal((await chunked.answer()).status, 413);
    chunked.socket.destroy();
  });

  it("may be several, each with its own limit, at once and one after the other", async () => {
    const read: (number | string)[] = [];
    const reading = (limit: number) => async (exchange: Exchange) => {
      const asked = [exchange.readBody(limit), exchange.readBody(limit + 1)];
      for (const body of await Promise.allSettled(asked)) {
        read.push(body.status === "fulfilled" ? body.value.length : (body.reason as GatewayError).code);
      }
    };
    hooks = { onRequest: reading(3) };
    later = { onRequest: reading(100) };
    assert.equal(await (await post("body")).text(), "body");
    assert.deepEqual(read, ["payload_too_large", 4, 4, 4]);
  });

  it("and finds it too large may let it through all the same: it streams on, whole", async () => {
    hooks = { onRequest: async (exchange) => void (await exchange.readBody(1_000).catch(() => {})) };
    assert.equal(await (await post(large)).text(), large);
    const client = await connectRaw(sidecar.port);
    const chunks = `400\r\n${large.slice(0, 1024)}\r\n400\r\n${large.slice(0, 1024)}\r\n0\r\n\r\n`;
    client.send(requestText("POST", "/", ["Transfer-Encoding: chunked"], chunks));
    assert.equal((await client.answer()).body.length, 2048);
    client.end();
  });

  it("with the limit 0: only an empty body passes", async () => {
    hooks = { onRequest: async (exchange) => void (await exchange.readBody(0)) };
    assert.equal((await post("a")).status, 413);
    assert.equal((await fetch(sidecar.url)).status, 200);
  });

  it("without a limit: a fault of the plugin", async () => {
    hooks = { onRequest: async (exchange) => void (await exchange.readBody(Number.NaN)) };
    assert.equal((await post("a")).status, 503);
  });

  it("without waiting for it: it is forwarded whole all the same", async () => {
    hooks = { onRequest: (exchange) => void exchange.readBody(1_000_000) };
    assert.equal(await (await post(large)).text(), large);
    hooks = { onRequest: (exchange) => void exchange.readBody(10) };
    assert.equal(await (await post(large)).text(), large);
  });

  it("in the response phase, when it is gone: a fault of the plugin", async () => {
    hooks = { onResponse: async (exchange) => void (await exchange.readBody(10)) };
    assert.equal((await post("a")).status, 503);
  });

  it("of a client that waits for 100: one 100, and none for a body that is too large", async () => {
    hooks = { onRequest: async (exchange) => void (await exchange.readBody(10)) };
    later = hooks;
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/", ["Expect: 100-continue", "Content-Length: 4"]));
    assert.equal((await client.answer()).status, 100);
    client.send("body");
    const answer = await client.answer();
    assert.deepEqual([answer.status, answer.body], [200, "body"]);
    client.send(requestText("POST", "/", ["Expect: 100-continue", "Content-Length: 11"]));
    assert.equal((await client.answer()).status, 413);
    client.end();
  });

  it("of a client that stalls: 408, and the plugin is not to blame", async () => {
    hooks = { onRequest: async (exchange) => void (await exchange.readBody(10)) };
    for (let i = 0; i < 6; i += 1) {
      const client = await connectRaw(sidecar.port);
      client.send(requestText("POST", "/", ["Content-Length: 4"], "bo"));
      assert.equal((await client.answer()).status, 408);
      client.end();
    }
    assert.equal((await post("body")).status, 200);
  });

  it("of a client that is slow: longer than the hook's time limit, as long as bytes come", async () => {
    hooks = { onRequest: async (exchange) => void (await exchange.readBody(10)) };
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/", ["Content-Length: 4"]));
    for (const byte of "body") {
      await delay(60);
      client.send(byte);
    }
    assert.equal((await client.answer()).body, "body");
    client.end();
  });

  it("of a client that leaves: nothing reaches the service, and nothing is left", async () => {
    const failed = Promise.withResolvers<unknown>();
    const entered = Promise.withResolvers<void>();
    hooks = {
      onRequest: (exchange) => {
        entered.resolve();
        return exchange.readBody(10).then(
          () => {},
          (error: unknown) => failed.resolve(error),
        );
      },
    };
    const client = await connectRaw(sidecar.port);
    client.send(requestText("POST", "/", ["Content-Length: 4"], "bo"));
    await entered.promise;
    client.socket.destroy();
    assert.equal(((await failed.promise) as GatewayError).code, "malformed_request");
    assert.deepEqual(heard, []);
  });

  it("after the answer was given: an error, no wait", async () => {
    const asked = Promise.withResolvers<unknown>();
    hooks = {
      onComplete: (exchange) => void exchange.readBody(10).catch((error: unknown) => asked.resolve(error)),
    };
    await post("a");
    assert.ok((await asked.promise) instanceof Error);
  });
});

describe("a plugin that announces another length than its answer has", () => {
  beforeEach(async () => {
    reset();
    await start();
  });
  afterEach(() => sidecar.stop());
  const within = { timeout: 5_000 };
  const announcing =
    (length: number): NonNullable<Hooks["onResponse"]> =>
    (_exchange, response) =>
      response.fields.set("Content-Length", String(length));
  const refuse = (): never => {
    throw new GatewayError("forbidden", "No.");
  };

  const answering: Hooks = { onRequest: () => ({ action: "respond", status: 200, body: "a body" }) };
  const replacing: Hooks = { onResponse: (_exchange, response) => response.replaceBody("a body") };
  const unread = ["Content-Length: 7"];

  for (const [what, given, fields] of [
    ["of its own", answering, []],
    ["of its own to a body that nobody reads", answering, unread],
    ["of an error", { onRequest: refuse }, []],
    ["of an error to a body that nobody reads", { onRequest: refuse }, unread],
    ["that replaces the service's", replacing, []],
  ] as const) {
    for (const length of [0, 3, 5_000]) {
      it(`${length} for one ${what}: the connection breaks, and is told so`, within, async () => {
        const told = Promise.withResolvers<string>();
        later = { ...given, onComplete: (_exchange, { end }) => told.resolve(end) };
        hooks = { onResponse: announcing(length) };
        const client = await connectRaw(sidecar.port);
        // The next request's answer would be read as the rest of this one.
        client.send(requestText("POST", "/", fields) + requestText("GET", "/next"));
        const { reset: isReset, rest } = await client.closed;
        assert.ok(isReset, rest);
        assert.doesNotMatch(rest, /HTTP.*HTTP/s);
        assert.notEqual(await told.promise, "complete");
      });
    }
  }
});

describe("a plugin that asks the upstream itself", () => {
  it("and drops the answer does not keep the connection for ever", async () => {
    reset();
    await start();
    hooks = {
      onRequest: async (exchange) => {
        const answer = await exchange.fetchUpstream({
          method: "GET",
          path: "/",
          query: "",
          fields: exchange.request.fields.copy(),
        });
        answer.body.destroy();
      },
    };
    assert.equal((await fetch(sidecar.url)).status, 200);
    assert.match(await sidecar.metrics(), /outrigger_upstream_connections\{[^}]*state="active"[^}]*\} 0/);
    await sidecar.stop();
  });

  it("and forgets the answer's body does not either", async () => {
    const closed = Promise.withResolvers<void>();
    const forgetful = pluginWith("forgetful", {
      onRequest: async (exchange) => {
        const { status } = await exchange.fetchUpstream({
          method: "GET",
          path: "/endless",
          query: "",
          fields: exchange.request.fields.copy(),
        });
        assert.equal(status, 200);
      },
    });
    const own = await startSidecar({
      policy: { plugins: ["forgetful"], routes: [{ path: "/*", timeout: 100 }] },
      registry: [forgetful],
      upstream: (request, response) => {
        if (request.url !== "/endless") {
          response.end("ok");
          return;
        }
        response.once("close", () => closed.resolve());
        const more = (): void => {
          while (response.write("x".repeat(10_000)));
        };
        response.on("drain", more);
        more();
      },
    });
    assert.equal((await fetch(own.url)).status, 200);
    await closed.promise;
    await own.stop();
  });
});

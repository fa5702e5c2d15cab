// An answer that lacks the work of a plugin behind the cache, which failed open, goes to its own client and no other.
import assert from "node:assert/strict";
import { Transform } from "node:stream";
import { test } from "node:test";
import type { Exchange, ExchangeResponse, Hooks } from "../../../src/plugin-api/contract.ts";
import { pluginWith } from "../../support/plugins.ts";
import {
  allArrived,
  answering,
  gate,
  startBench,
  until,
  type BenchOptions,
  type CacheBench,
} from "./harness.ts";

const fresh = { "Cache-Control": "max-age=60", ETag: '"a"' };

/** A bench whose plugin `work` marks requests and answers, and throws in a hook as long as `fails` says so. */
async function startWorking(
  fails: (hook: "request" | "response", exchange: Exchange) => boolean,
  options: Partial<BenchOptions> & { priority?: number } = {},
): Promise<CacheBench & AsyncDisposable> {
  const hooks: Hooks = {
    onRequest(exchange) {
      if (fails("request", exchange)) throw new Error("not this one");
      exchange.request.fields.set("X-Asked-By", "work");
    },
    onResponse(exchange, response) {
      if (fails("response", exchange)) throw new Error("not this one");
      response.fields.set("X-Work", "done");
    },
  };
  const { priority = 30, ...further } = options;
  const bench = await startBench({
    service: (request, response, count) => {
      response.setHeader("X-Was", String(request.headers["x-asked-by"]));
      answering(fresh)(request, response, count);
    },
    plugins: ["cache", "work"],
    further: [pluginWith("work", hooks, { failMode: "open", priority })],
    ...further,
  });
  return { ...bench, [Symbol.asyncDispose]: () => bench.stop() };
}

/** True for the first call of the hook about `/thing`. */
function once(wanted: "request" | "response"): (hook: "request" | "response", exchange: Exchange) => boolean {
  let left = 1;
  return (hook, { request }) => hook === wanted && request.path === "/thing" && (left -= 1) === 0;
}

for (const hook of ["request", "response"] as const) {
  test(`one failure on the ${hook} is not stored`, async () => {
    await using bench = await startWorking(once(hook));
    assert.equal((await bench.ask("/thing")).cache, "MISS");
    const { headers, text, cache } = await bench.ask("/thing");
    assert.deepEqual(
      [cache, text, headers["x-was"], headers["x-work"]],
      ["MISS", "answer 2", "work", "done"],
    );
    assert.equal((await bench.ask("/thing")).cache, "HIT");
  });

  test(`one failure on the ${hook} is not shared with those who wait`, async () => {
    const door = gate();
    await using bench = await startWorking(once(hook), {
      service: (request, response, count) => {
        response.setHeader("X-Was", String(request.headers["x-asked-by"]));
        void door.opened.then(() => answering(fresh)(request, response, count));
      },
    });
    const answers = Promise.all(Array.from({ length: 8 }, () => bench.ask("/thing")));
    await until("the first request", () => bench.asked.length === 1);
    await allArrived(bench);
    door.open();
    const whole = (await answers).filter(
      ({ headers }) => headers["x-was"] === "work" && headers["x-work"] === "done",
    );
    assert.equal(whole.length, 7);
  });
}

test("a plugin in front of the cache may fail: what is stored never had its work", async () => {
  await using bench = await startWorking(once("request"), { priority: 15 });
  assert.equal((await bench.ask("/thing")).cache, "MISS");
  assert.equal((await bench.ask("/thing")).cache, "HIT");
});

test("a body that goes on without the plugin after its head is not stored", async () => {
  let isWell = false;
  const halfway = (response: ExchangeResponse): Transform =>
    new Transform({
      transform(chunk: Buffer, _coding, done) {
        if (!isWell) response.failedOpen = true;
        done(null, chunk);
      },
    });
  const onResponse: Hooks["onResponse"] = (_exchange, response) => response.through(halfway(response));
  await using bench = await startWorking(() => false, {
    further: [pluginWith("work", { onResponse }, { failMode: "open" })],
  });
  assert.equal((await bench.ask("/thing")).cache, "MISS");
  isWell = true;
  assert.equal((await bench.ask("/thing")).cache, "MISS");
  assert.equal((await bench.ask("/thing")).cache, "HIT");
});

test("a 304, or an answer to HEAD, without the plugin's work freshens nothing", async () => {
  let fails = false;
  await using bench = await startWorking((hook) => fails && hook === "response", {
    service(request, response, count) {
      response.setHeader("X-Seen", String(count));
      const status = request.headers["if-none-match"] === undefined ? 200 : 304;
      answering({ "Cache-Control": "max-age=60", ETag: '"a"' }, status)(request, response, count);
    },
  });
  await bench.ask("/thing");
  fails = true;
  for (const method of ["GET", "HEAD"]) {
    bench.clock.advanceSeconds(100);
    assert.equal((await bench.ask("/thing", { method })).status, 200);
  }
  fails = false;
  // Still stale, so it is validated once more.
  const { headers, text } = await bench.ask("/thing");
  assert.deepEqual(
    [bench.asked.length, headers["x-seen"], headers["x-work"], text],
    [4, "4", "done", "answer 1"],
  );
});

test("a refresh in the background without the plugin's work changes nothing", async () => {
  let calls = 0;
  await using bench = await startWorking((hook) => hook === "response" && (calls += 1) === 2, {
    cache: { staleWhileRevalidateSeconds: 600 },
    service: answering({ "Cache-Control": "max-age=10" }),
  });
  await bench.ask("/thing");
  bench.clock.advanceSeconds(11);
  assert.equal((await bench.ask("/thing")).cache, "STALE");
  await until("the refresh came to the plugin", () => calls === 2);
  const { cache, text, headers } = await bench.ask("/thing");
  assert.deepEqual([cache, text, headers["x-work"]], ["STALE", "answer 1", "done"]);
  bench.clock.advanceSeconds(2);
  await until("the next refresh", async () => (await bench.ask("/thing")).cache === "HIT");
  assert.equal((await bench.ask("/thing")).headers["x-work"], "done");
});

test("an answer to POST without the plugin's work is not stored for GET", async () => {
  await using bench = await startWorking(once("response"), {
    service: answering({ ...fresh, "Content-Location": "/thing" }),
  });
  await bench.ask("/thing", { method: "POST" });
  assert.equal((await bench.ask("/thing")).cache, "MISS");
  await bench.ask("/thing", { method: "POST" });
  const { cache, text } = await bench.ask("/thing");
  assert.deepEqual([cache, text], ["HIT", "answer 3"]);
});

test("a body that body-transform lets pass because it holds too many is not stored", async () => {
  const door = gate();
  const json = { ...fresh, "Content-Type": "application/json" };
  let held = 0;
  await using bench = await startWorking(() => false, {
    policy: {
      plugins: ["cache", "body-transform"],
      pluginConfig: {
        "body-transform": {
          response: { remove: ["/secret"] },
          maxBodyBytes: 16_777_216,
          onFailure: "pass",
        },
      },
    },
    service(request, response) {
      response.writeHead(200, json);
      if (request.url?.startsWith("/thing") === true) {
        response.end('{"secret":1,"a":2}');
        return;
      }
      response.write("{");
      held += 1;
      void door.opened.then(() => response.end("}"));
    },
  });
  const many = Promise.all(Array.from({ length: 8 }, (_, i) => bench.ask(`/held/${i}`)));
  await until("eight bodies are held", () => held === 8);
  let thing = "";
  await until("one more is one too many", async () => {
    thing += "/thing";
    return (await bench.ask(thing)).text.includes("secret");
  });
  door.open();
  await many;
  const { cache, text } = await bench.ask(thing);
  assert.deepEqual([cache, text], ["MISS", '{"a":2}']);
});

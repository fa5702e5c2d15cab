// The last requests that a process keeps: how many, how much of each, and their content.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import v8 from "node:v8";
import vm from "node:vm";
import { explanationOf } from "../../../../src/telemetry/requests/explanation.ts";
import { RequestRing } from "../../../../src/telemetry/requests/ring.ts";
import { exchangeOf, outcomeOf } from "../../../../src/testing/exchange.ts";

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;

function heldBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

type Facts = Parameters<typeof exchangeOf>[0];

/** An exchange that is kept, up to its end. */
function begun(ring: RequestRing, facts: Facts = {}, nowMono = 0) {
  const exchange = exchangeOf(facts);
  exchange.record = ring.begin(["logging", "auth", "cache"], "digest", nowMono);
  exchange.request.fields.watcher = exchange;
  return exchange;
}

const ids = (ring: RequestRing, ...wanted: string[]) => wanted.filter((id) => ring.find(id).length > 0);

describe("the ring of requests", () => {
  it("keeps the last ones, and uses the records of the others again", () => {
    const ring = new RequestRing({ maxRequests: 3, maxBytes: 1_000_000 });
    for (const id of ["a", "b", "c", "d", "e"]) begun(ring, { id }).completed(outcomeOf());
    assert.deepEqual(ids(ring, "a", "b", "c", "d", "e"), ["c", "d", "e"]);
    const kept = ring.find("e")[0];
    for (const id of ["f", "g", "h", "i"]) begun(ring, { id }).completed(outcomeOf());
    const again = begun(ring, { id: "j" });
    again.completed(outcomeOf());
    assert.equal(ring.find("e").length, 0);
    assert.ok(
      ["g", "h", "i", "j"].some((id) => ring.find(id)[0] === kept),
      "records are used again",
    );
  });

  it("makes nothing new for a request's end, and keeps nothing of one that is no longer told of", () => {
    const ring = new RequestRing({ maxRequests: 1, maxBytes: 1_000_000 });
    const secretly = { id: "first", path: "/of-alice", host: "alice.example", identity: { userId: "alice" } };
    const first = begun(ring, secretly);
    first.request.fields.set("x-of-alice", "v");
    first.completed(outcomeOf());
    const kept = ring.find("first")[0];
    const place = kept?.request;
    begun(ring, { id: "second" }).completed(outcomeOf());
    assert.equal(explanationOf(kept as NonNullable<typeof kept>), undefined);
    assert.doesNotMatch(JSON.stringify(kept), /alice|first/);
    const third = begun(ring, { id: "third" });
    assert.equal(third.record, kept);
    third.completed(outcomeOf());
    assert.equal(ring.find("third")[0]?.request, place);
    assert.equal(explanationOf(kept as NonNullable<typeof kept>)?.identity, null);
  });

  it("keeps no heads alive", () => {
    const ring = new RequestRing();
    const before = heldBytes();
    for (let i = 0; i < 500; i += 1) {
      const head = Buffer.from(`${String(i).padStart(20, "0")}${"h".repeat(10_000)}`).toString("latin1");
      const part = head.slice(0, 20);

      begun(ring, { id: part, host: part, path: part, address: head.slice(1, 20) }).completed(outcomeOf());
    }
    assert.equal(ring.size.requests, 500);
    assert.ok(heldBytes() - before < 2_500_000, `${heldBytes() - before} bytes`);
  });

  it("takes less than 3 KB of memory for a request with 14 hooks and 22 changed fields", () => {
    const bytesARequest = (): number => {
      const ring = new RequestRing({ wholePerSecond: 1_000_000 });
      const before = heldBytes();
      for (let i = 0; i < 1_000; i += 1) {
        const exchange = begun(ring, { id: `${i}-of-a-thousand-requests-that-end`, path: "/cacheable" });
        for (let n = 0; n < 14; n += 1) exchange.hookRan("cache", "onRequest", i, "returned", true);
        for (let n = 0; n < 22; n += 1) exchange.record?.fieldChanged("set", "x-request-id");
        exchange.completed(outcomeOf());
      }
      return (heldBytes() - before) / ring.size.requests;
    };
    // What is compiled meanwhile is on the same heap.
    const bytes = Math.min(...Array.from({ length: 4 }, bytesARequest));
    assert.ok(bytes < 2_900, `${bytes} bytes`);
  });

  it("keeps of too many a second those that went wrong, and of them what needs no memory", () => {
    const ring = new RequestRing({ wholePerSecond: 2 });
    const ended = (id: string, nowMono: number, status = 200): void => {
      const exchange = begun(ring, { id }, nowMono);
      exchange.hookMono = 0;
      exchange.explain("rule", "1");
      exchange.hookRan("auth", "onRequest", 1, "returned", true);
      exchange.completed(outcomeOf({ status }));
    };
    // Those of five seconds at once, then as they are earned.
    for (let i = 0; i < 12; i += 1) ended(`burst-${i}`, 0);
    ended("wrong", 0, 503);
    ended("too-soon", 400);
    ended("in-time", 900);
    assert.deepEqual(ids(ring, "burst-0", "burst-9", "burst-10", "wrong", "too-soon", "in-time"), [
      "burst-0",
      "burst-9",
      "wrong",
      "in-time",
    ]);
    // A gRPC call that failed is a 200 as well.
    for (const grpcStatus of [0, 14]) {
      const call = begun(ring, { id: `grpc-${grpcStatus}` }, 900);
      call.completed(outcomeOf({ grpcStatus }));
    }
    assert.deepEqual(ids(ring, "grpc-0", "grpc-14"), ["grpc-14"]);
    const [whole, wrong] = ["in-time", "wrong"].map((id) => explanationOf(ring.find(id)[0]!)!);
    assert.deepEqual([whole?.whole, { ...whole?.hooks[0]?.facts }], [true, { rule: "1" }]);
    assert.deepEqual([wrong?.whole, { ...wrong?.hooks[0]?.facts }], [false, {}]);
    assert.equal(wrong?.hooks[0]?.ms, 1);
  });

  it("keeps so many bytes, whatever clients send", () => {
    const ring = new RequestRing({ maxRequests: 1_000, maxBytes: 100_000 });
    for (let i = 0; i < 30; i += 1) {
      const exchange = begun(ring, {
        id: String(i),
        path: `/${"p".repeat(60_000)}`,
        host: "h".repeat(5_000),
        identity: { userId: "u".repeat(5_000) },
      });
      for (let n = 0; n < 200; n += 1) {
        exchange.request.fields.set(`x-${n}-${"n".repeat(1_000)}`, "v");
        exchange.explain("name", "f".repeat(10_000));
        exchange.hookRan("auth", "onRequest", 1, "returned", true);
      }
      exchange.completed(outcomeOf());
    }
    const { requests, bytes } = ring.size;
    assert.ok(requests > 0 && requests < 10, String(requests));
    assert.ok(bytes <= 100_000, String(bytes));
    assert.ok(JSON.stringify(explanationOf(ring.find("29")[0]!)).length < 100_000);
  });

  it("says what ran, for how long, what it decided by and what it changed", () => {
    const ring = new RequestRing();
    const exchange = begun(ring, {
      path: "/a",
      query: "?token=secret",
      fields: ["Authorization", "Bearer secret", "Cookie", "secret=1", "X-A", "1"],
      identity: { userId: "u1", claims: { email: "secret@a.test" } },
    });
    exchange.hookMono = 0;
    exchange.hookRan("logging", "onRequest", 0.25, "returned", true);
    exchange.request.fields.delete("authorization");
    exchange.explain("rule", "1", "condition", "scopes");
    exchange.hookRan("auth", "onRequest", 1.25, "returned", false);
    exchange.reached = 2;
    exchange.refusedBecause = "rule 1: scopes";
    exchange.answeredBy = "auth";
    exchange.hookRan("logging", "onResponse", 1.5, "failed", true);
    exchange.completed(outcomeOf({ status: 403, answeredBy: "auth" }));
    const shown = explanationOf(ring.newest!)!;
    assert.deepEqual(
      shown.hooks.map(({ plugin, phase, decision, ms }) => [plugin, phase, decision, ms]),
      [
        ["logging", "onRequest", "went-on", 0.25],
        ["auth", "onRequest", "answered", 1],
        ["logging", "onResponse", "failed", 0.25],
      ],
    );
    assert.deepEqual({ ...shown.hooks[1]?.facts }, { rule: "1", condition: "scopes" });
    assert.deepEqual(shown.hooks[1]?.fields, { set: [], removed: ["authorization"] });
    assert.deepEqual(shown.notAsked, ["cache"]);
    assert.equal(shown.outcome["refusedBecause"], "rule 1: scopes");
    assert.doesNotMatch(JSON.stringify(shown), /secret/);
  });

  it("takes nothing more from an exchange that is over", () => {
    const ring = new RequestRing({ maxRequests: 1, maxBytes: 1_000_000 });
    const exchange = begun(ring);
    exchange.completed(outcomeOf());
    const next = begun(ring, { id: "next" });
    exchange.request.fields.set("X-Late", "1");
    exchange.explain("late", 1);
    exchange.hookRan("late", "onRequest", 1, "returned", true);
    next.completed(outcomeOf());
    const shown = explanationOf(ring.newest!)!;
    assert.deepEqual([shown.requestId, shown.hooks, shown.ownFields.set], ["next", [], []]);
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Exchange } from "../../../src/upstream/exchange.ts";
import type { UpstreamHandler, UpstreamRequest } from "../../../src/upstream/transport.ts";
import { WaitQueue } from "../../../src/upstream/wait-queue.ts";

const request: UpstreamRequest = {
  method: "GET",
  target: "/",
  fields: [],
  body: "none",
  connectTimeoutMs: 1,
  timeoutMs: 1,
};
const handler: UpstreamHandler = {
  onInterim: () => {},
  onHead: () => {},
  onData: () => true,
  onEnd: () => {},
  onFail: () => {},
  onDrain: () => {},
};

const clients = ["192.0.2.1", "192.0.2.2", undefined] as const;

test("the queue does what a list does, whoever leaves it and when", () => {
  const step = fc.record({
    kind: fc.constantFrom("push", "push", "shift", "shiftPast", "remove", "expire"),
    at: fc.nat(99),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new WaitQueue();
      let list: Exchange[] = [];
      for (const { kind, at } of steps) {
        if (kind === "push") {
          const client = clients[at % 3];
          const exchange = new Exchange({ ...request, ...(client === undefined ? {} : { client }) }, handler);
          exchange.waitUntil = at;
          queue.push(exchange);
          list.push(exchange);
        } else if (kind === "shift") assert.equal(queue.shift(), list.shift());
        else if (kind === "shiftPast") {
          const client = clients[at % 3];
          const first = list.findIndex((each) => client === undefined || each.client !== client);
          assert.equal(queue.shiftPast(client), list[first]);
          if (first !== -1) list.splice(first, 1);
        } else if (kind === "remove" && list.length > 0) {
          queue.remove(list.splice(at % list.length, 1)[0] as Exchange);
        } else if (kind === "expire") {
          const late = list.filter((each) => each.waitUntil <= at);
          list = list.filter((each) => each.waitUntil > at);
          assert.deepEqual(queue.expired(at), late);
        }
        assert.equal(queue.size, list.length);
        const ofOne = list.filter(({ client }) => client === "192.0.2.1");
        assert.equal(queue.countOf({ client: "192.0.2.1" }), ofOne.length);
      }
      for (const left of list) assert.equal(queue.shift(), left);
      assert.equal(queue.shift(), undefined);
    }),
  );
});

test("one client's that wait in front cost those behind them nothing, however many there are", () => {
  let looks = 0;
  const from = (client: string): Exchange => {
    const counted = {
      ...request,
      get client() {
        looks += 1;
        return client;
      },
    };
    return new Exchange(counted, handler);
  };
  const queue = new WaitQueue();
  for (let i = 0; i < 6_000; i += 1) queue.push(from("192.0.2.1"));
  looks = 0;
  for (let i = 0; i < 1_000; i += 1) {
    assert.equal(queue.shiftPast("192.0.2.1"), undefined);
    const other = from("192.0.2.2");
    queue.push(other);
    assert.equal(queue.shiftPast("192.0.2.1"), other);
  }
  assert.ok(looks < 20_000, `${looks} looks`);
});

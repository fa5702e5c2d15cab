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

test("the queue does what a list does, whoever leaves it and when", () => {
  const step = fc.record({
    kind: fc.constantFrom("push", "push", "shift", "remove", "expire"),
    at: fc.nat(99),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new WaitQueue();
      let list: Exchange[] = [];
      for (const { kind, at } of steps) {
        if (kind === "push") {
          const client = at % 2 === 0 ? "192.0.2.1" : undefined;
          const exchange = new Exchange({ ...request, ...(client === undefined ? {} : { client }) }, handler);
          exchange.waitUntil = at;
          queue.push(exchange);
          list.push(exchange);
        } else if (kind === "shift") assert.equal(queue.shift(), list.shift());
        else if (kind === "remove" && list.length > 0) {
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

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GrpcMessages } from "../../../src/exchange/grpc-messages.ts";
import { MessageRate } from "../../../src/exchange/messages.ts";

test("messages of gRPC are counted however they are cut into chunks", () => {
  const lengths = fc.array(fc.oneof(fc.nat(10), fc.constantFrom(255, 256, 70_000)), { maxLength: 6 });
  fc.assert(
    fc.property(lengths, fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1 }), (given, cuts) => {
      const bytes = Buffer.concat(
        given.map((length) => {
          const message = Buffer.alloc(5 + length, 7);
          message[0] = 0;
          message.writeUInt32BE(length, 1);
          return message;
        }),
      );
      const follower = new GrpcMessages();
      for (let at = 0, cut = 0; at < bytes.length; cut += 1) {
        const chunk = bytes.subarray(at, at + (cuts[cut % cuts.length] as number));
        follower.follow(chunk);
        at += chunk.length;
      }
      assert.equal(follower.messages, given.length);
    }),
  );
});

test("a rate of messages allows a second's worth at once, and then as many a second", () => {
  const rate = new MessageRate(10, 0);
  assert.equal(rate.allows(10, 0), true);
  assert.equal(rate.allows(15, 500), true);
  assert.equal(rate.allows(16, 500), false);
  const patient = new MessageRate(10, 0);
  assert.equal(patient.allows(0, 60_000), true);
  assert.equal(patient.allows(11, 60_000), false);
});

// The writer of a response: how it ends one that the client does not read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClientWriter } from "../../../src/exchange/respond.ts";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { LiveResponse } from "../../../src/runtime/response.ts";
import { buildHouse, ExchangeScene } from "../../support/exchange-scene.ts";

test("a client that is too slow is reset: a body without framing must not look complete", async () => {
  const house = await buildHouse();
  const { stream, clients } = new ExchangeScene(house, {
    request: { method: "GET" },
    late: [],
    buffers: false,
    refuses: false,
  });
  const events = { onBroken() {}, resumeUpstream() {}, crashed() {} };
  const writer = new ClientWriter(stream, events, clients, "192.0.2.1");
  writer.head(LiveResponse.fromUpstream(200, "OK", new Fields([])), false);
  writer.chunk(Buffer.from("half of it"));
  writer.tooSlow();
  assert.deepEqual([stream.destroyed, stream.wasReset], [true, true]);
});

// A short run of the fuzzer; `node test/fuzz/listener.ts --minutes 60` is the long one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzListener } from "../fuzz/listener.ts";

test("2,000 inputs, cut anywhere, are the same requests or refusals to both servers for HTTP/1.1", async () => {
  const { inputs, different } = await fuzzListener(1, (count) => count >= 2_000);
  assert.deepEqual(different, []);
  assert.equal(inputs, 2_000);
});

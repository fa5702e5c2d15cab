// A short run of the fuzzer; `node test/fuzz/upstream-mixed.ts` is the long one.
import { test } from "node:test";
import { fuzzUpstream } from "../fuzz/upstream-mixed.ts";

test("2,000 mixed exchanges with aborts, resets, stalls and half-closes keep apart and leave nothing", async () => {
  await fuzzUpstream(2000, 1);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { answering, startBench, type CacheBench } from "./harness.ts";

async function status(bench: CacheBench, headers: Record<string, string>): Promise<string> {
  return String((await bench.ask("/x?a=%22", { headers })).headers["cache-status"]);
}

const operator = { "x-user": "anna", "x-role": "operator" };

test("the key is told to callers with the role that the policy names, on a miss and on a hit, and to nobody else", async (t) => {
  const bench = await startBench({
    service: answering({ "Cache-Control": "public, max-age=60", "Cache-Status": "Origin; hit" }),
    plugins: ["identify", "cache"],
    cache: { keyRole: "operator" },
  });
  t.after(() => bench.stop());
  assert.match(
    await status(bench, operator),
    /^Origin; hit, outrigger; fwd=uri-miss; stored; key="\S+ http:\S+"$/,
  );
  assert.match(await status(bench, operator), /outrigger; hit; ttl=\d+; key="\S+ http:\S+\/x\?a=%22"$/);
  for (const headers of [{ "x-user": "ben", "x-role": "reader" }, { "x-user": "cleo" }, {}]) {
    assert.doesNotMatch(await status(bench, headers), /key=/);
  }
});

test("without that option nobody is told", async (t) => {
  const bench = await startBench({
    service: answering({ "Cache-Control": "max-age=60" }),
    plugins: ["identify", "cache"],
  });
  t.after(() => bench.stop());
  assert.doesNotMatch(await status(bench, operator), /key=/);
});

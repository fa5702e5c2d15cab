import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { KeptSwitches } from "../../../../src/kill-switch/kept-switches.ts";
import { createLastKnownGood } from "../../../../src/policy/sources/last-known-good.ts";

test("what is being written stays, however often the copy is looked for meanwhile; what a crash left does not", async () => {
  const dir = await mkdtemp(join(tmpdir(), "outrigger-kept-"));
  const troubles: string[] = [];
  const options = { dir, service: "users", onTrouble: (message: string) => void troubles.push(message) };
  await writeFile(join(dir, "policy-users.json.1.tmp"), "half");
  await writeFile(join(dir, "disabled-users.json.1.tmp"), "half");
  const policy = createLastKnownGood(options);
  const switches = new KeptSwitches(options);
  for (let round = 1; round <= 12; round += 1) {
    policy.save({ raw: undefined, keySets: [Buffer.from("keys")], revision: round, from: "redis" });
    const reading = { switches: [`plugin:${round}`, "off"], hadPolicy: false, aheadMs: -5_000 };
    switches.save(reading);
    const state = { saved: false };
    const saved = Promise.all([policy.settled(), switches.settled()]).then(() => (state.saved = true));
    while (!state.saved) await Promise.all([policy.load(), switches.load()]);
    await saved;
    assert.equal((await policy.load())?.revision, round);
    assert.deepEqual(await switches.load(), { version: 1, ...reading });
  }
  assert.deepEqual(troubles, []);
  assert.deepEqual((await readdir(dir)).toSorted(), ["disabled-users.json", "policy-users.json"]);
  await rm(dir, { recursive: true });
});

test("documents as long as the longest that are read are kept, each byte of them escaped, with all keys", async () => {
  const dir = await mkdtemp(join(tmpdir(), "outrigger-kept-"));
  const troubles: string[] = [];
  const maxBytes = 6 * 1_048_576;
  const onTrouble = (message: string): void => void troubles.push(message);
  const kept = createLastKnownGood({ dir, service: "users", maxBytes, onTrouble });
  const document = Buffer.alloc(maxBytes, '"');
  const keySets = Array.from({ length: 32 }, () => Buffer.alloc(90_000, "k"));
  kept.save({
    raw: { shared: document, layer: document, format: "any" },
    keySets,
    revision: 7,
    from: "redis",
  });
  await kept.settled();
  assert.equal((await kept.load())?.raw?.layer?.length, maxBytes);
  assert.deepEqual(troubles, []);
  await rm(dir, { recursive: true });
});

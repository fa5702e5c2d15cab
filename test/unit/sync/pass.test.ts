// One policy, or one status, that goes wrong does not keep the others back.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Declared } from "../../../src/sync/declared.ts";
import { onePass } from "../../../src/sync/loop.ts";
import { Reconciler } from "../../../src/sync/reconcile.ts";
import { Reports } from "../../../src/sync/reports.ts";

const signal = new AbortController().signal;
const declared = (service: string): Declared => ({
  origin: `of ${service}`,
  service,
  bytes: Buffer.from(service),
  format: "yaml",
  reason: "",
  whenGone: "keep",
  flaw: undefined,
});
const spread = { concerned: 0, inForce: 0, refused: [] };
const standing = { revision: 1, digest: "", by: "", synced: undefined, isUnsigned: false };

function reconcilerOf(applied: string[]): Reconciler {
  return new Reconciler({
    place: {
      standing: async (service) => {
        if (service === "bad") throw new TypeError("nobody foresaw this");
        return standing;
      },
      apply: async ({ service = "" }) => {
        applied.push(service);
        return { revision: 2, digest: "d", warnings: [] };
      },
      remove: async () => 1,
      spread: async () => spread,
      explain: () => undefined,
    },
    selfHeal: false,
    mayWrite: () => true,
    tell: { applied() {}, gone() {} },
  });
}

test("a fault that nobody foresaw refuses the policy that it came with, by name, and the others are applied", async () => {
  const applied: string[] = [];
  const all = ["aa", "bad", "zz"].map(declared);
  const outcomes = await reconcilerOf(applied).pass(all, signal);
  assert.deepEqual(applied, ["aa", "zz"]);
  assert.deepEqual(
    outcomes.map(({ declared: { service }, state }) => `${service} ${state}`),
    ["aa in-force", "bad refused", "zz in-force"],
  );
  assert.match(outcomes[1]?.message ?? "", /^a fault of sync itself, .* stays: .*nobody foresaw this/);
});

test("a status that hangs holds no policy up, and what waited for it is told when it ends", async () => {
  const applied: string[] = [];
  const reconciler = reconcilerOf(applied);
  const { promise, resolve } = Promise.withResolvers<void>();
  let [reports, freed] = [0, 0];
  const source = {
    name: "test",
    state: { ok: true, detail: "" },
    start() {},
    read: async () => [declared(`s${applied.length}`)],
    report: async () => {
      reports += 1;
      await promise;
    },
  };
  const beside = new Reports(source, signal, () => (freed += 1));
  const pass = () => onePass({ source, reconciler, onPass() {} }, signal, beside);
  await pass();
  await pass();
  assert.deepEqual([applied, reports, freed], [["s0", "s1"], 1, 0]);
  resolve();
  await beside.ended();
  assert.equal(freed, 1);
  await pass();
  assert.equal(reports, 2);
});

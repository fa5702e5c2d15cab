// One faulty policy or status does not hold up the others.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Declared } from "../../../src/sync/declared.ts";
import { onePass } from "../../../src/sync/loop.ts";
import { type PolicyPlace, Reconciler } from "../../../src/sync/reconcile.ts";
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
const spread = { concerned: 0, inForce: 0, refused: [], namesakes: [] };
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

const problems = [{ path: "plugins[0]", message: "is no plugin" }];
const explained = { state: "refused", message: "it is refused", problems } as const;

/** Of one layer, `orders`, which it has put in force. */
async function withOneInForce(more: Partial<PolicyPlace>) {
  const removed: string[] = [];
  const told: (string | undefined)[] = [];
  const place: PolicyPlace = {
    standing: async () => ({ ...standing, revision: 2, digest: "d" }),
    apply: async () => ({ revision: 2, digest: "d", warnings: [] }),
    remove: async (service) => removed.push(service),
    spread: async () => spread,
    explain: () => undefined,
  };
  const tell = {
    applied() {},
    gone: (_declared: Declared, kept: string | undefined) => void told.push(kept),
  };
  let leads = true;
  const reconciler = new Reconciler({ place, selfHeal: false, mayWrite: () => leads, tell });
  const [orders, other] = [{ ...declared("orders"), whenGone: "remove" } as const, declared("other")];
  await reconciler.pass([orders, other], signal);
  const well = { ...place };
  Object.assign(place, more);
  const mend = (): void => void Object.assign(place, well);
  const lead = (does: boolean): void => void (leads = does);
  return { removed, told, mend, lead, pass: () => reconciler.pass([other], signal) };
}

test("a layer whose removal meets a fault that nobody foresaw is told of, and removed when it is over", async () => {
  const remove = async (): Promise<number> => {
    throw new TypeError("nobody foresaw this");
  };
  const { removed, told, mend, pass } = await withOneInForce({ remove });
  const outcomes = await pass();
  assert.deepEqual(
    outcomes.map(({ state }) => state),
    ["in-force", "refused"],
  );
  assert.match(outcomes[1]?.message ?? "", /^the layer of orders .* stays: .*nobody foresaw this/);
  mend();
  await pass();
  await pass();
  assert.deepEqual([removed, told], [["orders"], [undefined]]);
});

test("a layer that cannot be removed for a known reason is told of until it can be, and is removed then", async () => {
  const away = async (): Promise<never> => {
    throw new Error("Redis is away");
  };
  const { removed, told, mend, pass } = await withOneInForce({ standing: away, explain: () => explained });
  const [other, gone, ...more] = await pass();
  assert.deepEqual([removed, told, more], [[], [], []]);
  assert.deepEqual([other?.state, other?.message, other?.problems], ["refused", "it is refused", problems]);
  assert.deepEqual(
    [gone?.declared.origin, gone?.state, gone?.problems],
    ["of orders (gone)", "refused", problems],
  );
  assert.match(gone?.message ?? "", /^the layer of orders .* stays until it can be removed: it is refused$/);
  mend();
  assert.equal((await pass()).length, 1);
  assert.deepEqual([removed, told], [["orders"], [undefined]]);
});

test("a layer is removed by the sync that leads, and what somebody else has put there stays", async () => {
  const { removed, told, lead, pass } = await withOneInForce({});
  lead(false);
  await pass();
  assert.deepEqual([removed, told], [[], []]);
  lead(true);
  await pass();
  assert.deepEqual([removed, told], [["orders"], [undefined]]);

  const changed = async () => ({ ...standing, revision: 3, digest: "another", by: "ada" });
  const theirs = await withOneInForce({ standing: changed });
  await theirs.pass();
  assert.deepEqual([theirs.removed, theirs.told], [[], ["somebody else has changed it since (ada)"]]);
  const deleted = await withOneInForce({ standing: async () => standing });
  await deleted.pass();
  assert.deepEqual([deleted.removed, deleted.told], [[], []]);
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

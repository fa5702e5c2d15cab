// A stolen Redis, and sidecars that accept only signed policies: the thief may put back, move, delay or remove
// everything that was ever signed.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../../support/redis.ts";
import type { Attack } from "../attack.ts";
import { hasMark, markOf, marked, reasonOf, SigningScene, startSeconds } from "../signing-scene.ts";

const attack = (what: string, run: (signing: SigningScene) => Promise<void>): Attack => ({
  row: "Z60",
  what,
  run: async (scene) => run(await SigningScene.open(scene)),
});
const forOrders = { for: "policy:orders" };

const tampers = attack(
  "writes an unsigned policy, another payload, or a signature of a key of its own",
  async (s) => {
    await s.set("policy", await s.sign(marked("good"), { epoch: 2 }));
    const sidecar = await s.sidecar();
    await hasMark(sidecar, "good");
    await s.set("policy", JSON.stringify(marked("evil")));
    await s.refuses(sidecar, /is not signed/, "good");
    const [header, , signature] = (await s.sign(marked("good"), { epoch: 3 })).split(".");
    const payload = Buffer.from(JSON.stringify(marked("evil"))).toString("base64url");
    await s.set("policy", `${header}.${payload}.${signature}`);
    await s.refuses(sidecar, /not signed by any/, "good");
    const own = { ...(await s.makeKey()), kid: s.ours.kid };
    await s.set("policy", await s.sign(marked("evil"), { epoch: 4 }, own));
    await s.refuses(sidecar, /not signed by any/, "good");
  },
);

const replays = attack(
  "puts back an older policy, or another one of the same epoch, also over a restart",
  async (s) => {
    const env = { OUTRIGGER_STATE_DIR: join(s.folder, "state") };
    const [older, twin, newer] = [
      await s.sign(marked("older"), { epoch: 5 }),
      await s.sign(marked("twin"), { epoch: 6 }),
      await s.sign(marked("newer"), { epoch: 6 }),
    ];
    await s.set("policy", older);
    const sidecar = await s.sidecar(env);
    await hasMark(sidecar, "older");
    await s.set("policy", newer);
    await hasMark(sidecar, "newer");
    await s.set("policy", older);
    await s.refuses(sidecar, /is of epoch 5, and one of epoch 6 has been in force/, "newer");
    await s.set("policy", twin);
    await s.refuses(sidecar, /is of epoch 6, as another one/, "newer");
    await s.set("policy", await s.sign(marked("bare"), { epoch: undefined }));
    await s.refuses(sidecar, /without an epoch/, "newer");
    await sidecar.stop();
    await s.set("policy", older);
    const again = await s.sidecar(env);
    await s.refuses(again, /is of epoch 5/, "newer");
    await s.set("policy", newer);
    await hasMark(again, "newer");
  },
);

const replaysToTheNew = attack(
  "shows a new sidecar that has kept nothing what is older than its file",
  async (s) => {
    const file = join(s.folder, "baseline.jws");
    writeFileSync(file, await s.sign(marked("baseline"), { epoch: 8 }));
    await s.set("policy", await s.sign(marked("older"), { epoch: 7 }));
    const sidecar = await s.sidecar({ OUTRIGGER_POLICY_FILE: file });
    await s.refuses(sidecar, /is of epoch 7, and one of epoch 8/, "baseline");
  },
);

const freezes = attack("holds a policy past its end, and shows that to new sidecars", async (s) => {
  const short = await s.sign(marked("short"), { epoch: 9, exp: startSeconds + 600 });
  await s.set("policy", short);
  let aheadMs = 0;
  const clock = { now: () => Date.now() + aheadMs, mono: () => performance.now() };
  const sidecar = await s.sidecar({}, clock);
  await hasMark(sidecar, "short");
  const end = new RegExp(
    `outrigger_policy_signature_expiry_timestamp_seconds\\{.*\\} ${startSeconds + 600}\\n`,
  );
  assert.match(await sidecar.metrics(), end);
  aheadMs = 3_600_000;
  const late = await s.sidecar({}, clock);
  assert.match(await reasonOf(late), /was not in force by then/);
  assert.equal(await markOf(late), "503");
  // The sidecar that has the policy goes on, and reports it.
  await s.set("policy", short);
  await s.refuses(sidecar, /was signed until .* the one in force stays/, "short");
  await sidecar.line(({ msg }) => msg === "the policy in force needs attention");
});

const swapsLayers = attack("puts a layer's signature under another key, or takes a layer away", async (s) => {
  const layer = await s.sign(marked("layer"), { ...forOrders, epoch: 10 });
  await s.set("policy", await s.sign(marked("shared"), { epoch: 10 }));
  await s.set("policy:orders", layer);
  const sidecar = await s.sidecar();
  await hasMark(sidecar, "layer");
  await s.set("policy", layer);
  await s.refuses(sidecar, /was signed for "policy:orders"/, "layer");
  await s.set("policy", await s.sign(marked("shared"), { epoch: 10 }));
  await s.set("policy:orders", await s.sign(marked("users"), { for: "policy:users", epoch: 11 }));
  await s.refuses(sidecar, /was signed for "policy:users"/, "layer");
  await s.redis.cli.del("outrigger:policy:orders");
  await s.refuses(sidecar, /is gone, which nobody signed/, "layer");
  await s.set("policy:orders", await s.sign({ apiVersion: "outrigger/v1" }, { ...forOrders, epoch: 12 }));
  await hasMark(sidecar, "shared");
});

const swapsKeys = attack(
  "names keys of its own, or brings a revoked one back, also over a restart",
  async (s) => {
    const env = { OUTRIGGER_STATE_DIR: join(s.folder, "state") };
    const [own, next] = [await s.makeKey(), await s.makeKey()];
    await s.set("policy", await s.sign(marked("old"), { epoch: 1 }));
    const sidecar = await s.sidecar(env);
    await hasMark(sidecar, "old");
    await s.set("policy-keys", await s.keySet([own], [], 1, own));
    await s.refuses(sidecar, /is not signed by a key that counts/, "old");
    await s.set("policy-keys", JSON.stringify({ keys: [own.publicJwk], revoked: [] }));
    await s.refuses(sidecar, /is not signed/, "old");
    // The operator moves to another key, and revokes the stolen one.
    const both = await s.keySet([next], [], 2);
    await s.set("policy-keys", both);
    await s.set("policy", await s.sign(marked("new"), { epoch: 2 }, next));
    await hasMark(sidecar, "new");
    await s.set("policy-keys", await s.keySet([next], [s.ours], 3, next));
    const stolen = await s.sign(marked("evil"), { epoch: 9 });
    await s.set("policy", stolen);
    await s.refuses(sidecar, /not signed by any/, "new");
    await s.set("policy-keys", both);
    await s.refuses(sidecar, /not signed by any/, "new");
    await s.redis.cli.del("outrigger:policy-keys");
    await s.refuses(sidecar, /not signed by any/, "new");
    await sidecar.stop();
    const again = await s.sidecar(env);
    await s.refuses(again, /not signed by any/, "new");
  },
);

const outlivesRotations = attack(
  "signs with a key that was revoked many changes of keys ago, also over a restart",
  async (s) => {
    const env = { OUTRIGGER_STATE_DIR: join(s.folder, "state") };
    const next = await s.makeKey();
    await s.set("policy-keys", await s.keySet([next], [], 1));
    await s.set("policy", await s.sign(marked("good"), { epoch: 1 }, next));
    const sidecar = await s.sidecar(env);
    await hasMark(sidecar, "good");
    for (let epoch = 2; epoch < 13; epoch += 1) {
      await s.set("policy-keys", await s.keySet([next], [s.ours], epoch, next));
      await s.set("policy", await s.sign(marked(`good ${epoch}`), { epoch }, next));
      await hasMark(sidecar, `good ${epoch}`);
    }
    await s.set("policy", await s.sign(marked("evil"), { epoch: 20 }));
    await s.refuses(sidecar, /not signed by any/, "good 12");
    await sidecar.stop();
    const again = await s.sidecar(env);
    await s.refuses(again, /not signed by any/, "good 12");
  },
);

const starves = attack(
  "keeps a sidecar without any policy, and takes the keys away before its restart",
  async (s) => {
    const env = { OUTRIGGER_STATE_DIR: join(s.folder, "state") };
    const next = await s.makeKey();
    await s.set("policy-keys", await s.keySet([next], [s.ours], 1));
    const sidecar = await s.sidecar(env);
    assert.equal(await markOf(sidecar), "503");
    await s.set("policy", await s.sign(marked("evil")));
    await eventually("refusal", async () => /not signed by any/.test(await reasonOf(sidecar)), 4_000);
    await sidecar.stop();
    await s.redis.cli.del("outrigger:policy-keys");
    const again = await s.sidecar(env);
    await s.refuses(again, /not signed by any/, "503");
    await s.set("policy", await s.sign(marked("good"), {}, next));
    await hasMark(again, "good");
  },
);

export const attacks: readonly Attack[] = [
  tampers,
  replays,
  replaysToTheNew,
  freezes,
  swapsLayers,
  swapsKeys,
  outlivesRotations,
  starves,
];

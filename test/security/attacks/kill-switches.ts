// An attacker who controls Redis uses kill switches: only who may change policies may take the guard out of a chain.
import assert from "node:assert/strict";
import { join } from "node:path";
import { switchType } from "../../../src/kill-switch/kill-switch.ts";
import type { SigningKey } from "../../../src/plane/private-key.ts";
import { signDocument } from "../../../src/plane/sign.ts";
import { eventually } from "../../support/redis.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Attack } from "../attack.ts";
import { SigningScene } from "../signing-scene.ts";

const guarded = {
  apiVersion: "outrigger/v1",
  plugins: ["auth"],
  pluginConfig: { auth: { apiKeys: { headers: ["x-api-key"] } } },
};
const hourMs = 3_600_000;
const facts = (more: object = {}): object => ({
  untilMs: Date.now() + hourMs,
  reason: "x",
  author: "x",
  atMs: Date.now(),
  openRoutes: true,
  ...more,
});
const fieldOf = "disabled auth * *";

interface Opened {
  readonly scene: SigningScene;
  readonly sidecar: TestSidecar;
  /** Writes the kill switch, and sends a request once the sidecar has read it. */
  tries(value: string, field?: string): Promise<number>;
}

async function open(scene: SigningScene): Promise<Opened> {
  await scene.set("policy", await scene.sign(guarded, { epoch: 2 }));
  const sidecar = await scene.sidecar();
  const status = async (): Promise<number> => (await fetch(`${sidecar.url}/`)).status;
  assert.equal(await status(), 401);
  return {
    scene,
    sidecar,
    async tries(value, field = "auth * *") {
      const told = sidecar.lines.length;
      await scene.redis.cli.del("outrigger:disabled");
      // A second switch, which is always ignored, shows in the log when both have been read.
      const marker = `read-${told} * *`;
      await scene.redis.cli.hset("outrigger:disabled", field, value, marker, "{}");
      await scene.redis.cli.publish("outrigger:disabled", "");
      await sidecar.line(({ fields }) => Array.isArray(fields) && fields.includes(marker));
      return await status();
    },
  };
}

const attack = (what: string, run: (opened: Opened) => Promise<void>): Attack => ({
  row: "Z62",
  what,
  run: async (scene) => run(await open(await SigningScene.open(scene))),
});

const unsigned = attack(
  "switches the guard off by a value that nobody signed, or that its own key did",
  async (o) => {
    assert.equal(await o.tries(JSON.stringify(facts())), 401);
    const own = { ...(await o.scene.makeKey()), kid: o.scene.ours.kid };
    assert.equal(
      await o.tries(await signDocument(facts(), own, { typ: switchType, for: fieldOf }, Date.now())),
      401,
    );
  },
);

const moved = attack(
  "moves a signed switch to another plugin's field, or takes another signed thing for one",
  async (o) => {
    const { ours } = o.scene;
    const of = (name: string, typ = switchType): Promise<string> =>
      signDocument(facts(), ours, { typ, for: name }, Date.now());
    assert.equal(await o.tries(await of("disabled cors * *")), 401);
    assert.equal(await o.tries(await of("disabled auth orders /x")), 401);
    assert.equal(await o.tries(await of(fieldOf, "outrigger-policy+jws")), 401);
  },
);

const replayed = attack("puts back a signed switch that is over, or one without an end", async (o) => {
  const { ours } = o.scene;
  const of = (more: object): Promise<string> =>
    signDocument(facts(more), ours, { typ: switchType, for: fieldOf }, Date.now());
  assert.equal(await o.tries(await of({ untilMs: Date.now() - 1 })), 401);
  assert.equal(await o.tries(await of({ untilMs: null })), 401);
  // Shows that the checks above can fail: the same switch within its time counts.
  assert.equal(await o.tries(await of({})), 200);
});

const of = (key: SigningKey, plugin = "auth"): Promise<string> =>
  signDocument(facts(), key, { typ: switchType, for: `disabled ${plugin} * *` }, Date.now());

const heldUp = attack(
  "sets a switch of a revoked key, and keeps the policy from being read with junk",
  async ({ scene, sidecar }) => {
    const next = await scene.makeKey();
    await scene.redis.cli.hset("outrigger:disabled", "auth * *", await of(scene.ours));
    await scene.redis.cli.publish("outrigger:disabled", "");
    const answers = (status: number) => async () => (await fetch(sidecar.url)).status === status;
    await eventually("off by a key that counts", answers(200), 4_000);
    await scene.set("policy:orders", "junk");
    await scene.set("policy-keys", await scene.keySet([next], [scene.ours], 1));
    await eventually("on again", answers(401), 4_000);
  },
);

/** Restarts a sidecar whose operator has moved to another key, while its Redis is out of reach. */
async function restarted(
  scene: SigningScene,
  switches: (next: SigningKey) => Promise<Record<string, string>>,
): Promise<number> {
  const env = { OUTRIGGER_STATE_DIR: join(scene.folder, "state") };
  const next = await scene.makeKey();
  await scene.set("policy-keys", await scene.keySet([next], [scene.ours], 1));
  await scene.set("policy", await scene.sign(guarded, { epoch: 2 }, next));
  const sidecar = await scene.sidecar(env);
  await scene.redis.cli.hset("outrigger:disabled", await switches(next));
  await scene.redis.cli.publish("outrigger:disabled", "");
  await sidecar.line(({ msg }) => String(msg).startsWith("a plugin is switched off"));
  await sidecar.stop();
  await scene.redis.stop();
  const again = await scene.sidecar(env);
  return (await fetch(again.url)).status;
}

const revived: Attack = {
  row: "Z62",
  what: "sets a switch of a revoked key, and starts sidecars anew without Redis",
  async run(scene) {
    const signing = await SigningScene.open(scene);
    const status = await restarted(signing, async (next) => ({
      "auth * *": await of(signing.ours),
      "cors * *": await of(next, "cors"),
    }));
    assert.equal(status, 401);
  },
};

const forgotten: Attack = {
  row: "Z62",
  what: "has a switch of the key that counts forgotten by starting sidecars anew without Redis",
  async run(scene) {
    const status = await restarted(await SigningScene.open(scene), async (next) => ({
      "auth * *": await of(next),
    }));
    assert.equal(status, 200);
  },
};

export const attacks: readonly Attack[] = [unsigned, moved, replayed, heldUp, revived, forgotten];

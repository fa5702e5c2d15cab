// One client that makes the sidecar fail for all: throws and waits that are shared, and input that is too deep.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import type { Attack } from "../attack.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";

const goodKey = "a-good-key-of-somebody-else";
const keys = [{ sha256: hash("sha256", goodKey), id: "k1", userId: "u1", scopes: [] }];

const guarded = (scene: Scene, auth: Record<string, unknown>, env = {}): Promise<TestSidecar> =>
  scene.sidecar({
    policy: { plugins: ["auth"], pluginConfig: { auth: { apiKeys: { keys }, ...auth } } },
    upstream: (_request, response) => response.end("served"),
    env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.0/8", ...env },
  });

const statusFor = async (sidecar: TestSidecar, headers: Record<string, string>): Promise<number> => {
  const answer = await fetch(sidecar.url, { headers });
  await answer.arrayBuffer();
  return answer.status;
};

export const attacks: readonly Attack[] = [
  {
    row: "Z7",
    what: "names an address with a zone in X-Forwarded-For beside a bad key, again and again",
    async run(scene) {
      const sidecar = await guarded(scene, {});
      for (let i = 0; i < 8; i += 1) {
        const bad = { "x-forwarded-for": "fe80::1%br-0", "x-api-key": "bad" };
        assert.equal(await statusFor(sidecar, bad), 401, "the bad key");
      }
      assert.equal(await statusFor(sidecar, { "x-api-key": goodKey }), 200, "another's good key");
    },
  },
];

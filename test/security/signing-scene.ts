// Operators with keys that sign policies, sidecars that demand their signatures, and an attacker who holds their Redis.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../src/plugin-api/contract.ts";
import { readSigningKey, type SigningKey, writeSigningKey } from "../../src/plane/private-key.ts";
import { type SignatureFacts, signDocument } from "../../src/plane/sign.ts";
import { keySetKey, keySetType } from "../../src/policy/signature/key-sets.ts";
import { policyType } from "../../src/policy/signature/signature.ts";
import { eventually, type RedisServer } from "../support/redis.ts";
import type { Scene } from "../support/scene.ts";
import type { TestSidecar } from "../support/sidecar.ts";

export interface Status {
  readonly signatures: readonly { readonly document: string; readonly epoch: number | null }[];
  readonly lastError: { readonly problems: readonly { readonly message: string }[] } | null;
}

/** @returns a policy that answers with this mark */
export const marked = (mark: string): object => ({
  apiVersion: "outrigger/v1",
  plugins: ["transform"],
  pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
});

const startMs = Date.now();
/** Seconds since 1970. */
export const startSeconds = Math.floor(startMs / 1000);

export class SigningScene {
  readonly scene: Scene;
  readonly redis: RedisServer;
  /** The key that the settings trust. */
  readonly ours: SigningKey;
  /** Folder for OUTRIGGER_STATE_DIR. */
  readonly folder: string;

  private constructor(scene: Scene, redis: RedisServer, ours: SigningKey, folder: string) {
    this.scene = scene;
    this.redis = redis;
    this.ours = ours;
    this.folder = folder;
  }

  static async open(scene: Scene): Promise<SigningScene> {
    const folder = mkdtempSync(join(tmpdir(), "outrigger-signing-"));
    scene.after(() => rmSync(folder, { recursive: true, force: true }));
    return new SigningScene(scene, await scene.redis(), await makeKey(folder), folder);
  }

  makeKey(): Promise<SigningKey> {
    return makeKey(this.folder);
  }

  /** Starts a sidecar of `orders`. */
  sidecar(env: Readonly<Record<string, string>> = {}, clock?: Clock): Promise<TestSidecar> {
    return this.scene.sidecar({
      ...(clock && { clock }),
      redisUrl: this.redis.url,
      upstream: (_request, response) => response.end("served"),
      env: {
        OUTRIGGER_SERVICE: "orders",
        OUTRIGGER_POLICY_KEYS: JSON.stringify({ keys: [this.ours.publicJwk] }),
        ...env,
      },
    });
  }

  sign(document: object, facts: Partial<SignatureFacts> = {}, key = this.ours): Promise<string> {
    return signDocument(document, key, { typ: policyType, for: "policy", epoch: 1, ...facts }, startMs);
  }

  keySet(
    keys: readonly SigningKey[],
    revoked: readonly SigningKey[],
    epoch: number,
    by = this.ours,
  ): Promise<string> {
    const document = { keys: keys.map(({ publicJwk }) => publicJwk), revoked: revoked.map(({ kid }) => kid) };
    return signDocument(document, by, { typ: keySetType, for: keySetKey, epoch }, startMs);
  }

  async set(key: string, value: string): Promise<void> {
    await this.redis.cli.set(`outrigger:${key}`, value);
  }

  /**
   * Checks that the attacker's document is refused for that reason, and that the policy with the mark stays in force.
   */
  async refuses(sidecar: TestSidecar, reason: RegExp, mark: string): Promise<void> {
    await eventually(`refusal: ${reason}`, async () => reason.test(await reasonOf(sidecar)), 4_000);
    assert.equal(await markOf(sidecar), mark);
  }
}

async function makeKey(folder: string): Promise<SigningKey> {
  const path = join(folder, `key-${Math.random()}`);
  await writeSigningKey(path);
  return await readSigningKey(path);
}

export async function statusOf(sidecar: TestSidecar): Promise<Status> {
  return (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as Status;
}

export async function reasonOf(sidecar: TestSidecar): Promise<string> {
  return ((await statusOf(sidecar)).lastError?.problems ?? []).map(({ message }) => message).join("; ");
}

/** @returns the mark of the policy in force; the status if there is no mark */
export async function markOf(sidecar: TestSidecar): Promise<string> {
  const answer = await fetch(sidecar.url);
  return answer.headers.get("x-mark") ?? String(answer.status);
}

export async function hasMark(sidecar: TestSidecar, mark: string): Promise<void> {
  await eventually(`in force: ${mark}`, async () => (await markOf(sidecar)) === mark, 4_000);
}

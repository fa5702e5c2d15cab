// What signatures say besides the signer: epochs, expiry, and keys that were added later.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CompactSign, exportJWK, generateKeyPair } from "jose";
import { Freshness } from "../../../../src/policy/signature/freshness.ts";
import { keySetKey, keySetType } from "../../../../src/policy/signature/key-sets.ts";
import { problemsOf, problemText } from "../../../../src/policy/document/problems.ts";
import { createPolicyReader, createTrust, type RawPolicy } from "../../../../src/policy/read.ts";
import { policyType } from "../../../../src/policy/signature/signature.ts";
import { samplePlugins, text } from "../sample.ts";

const makePair = async (kid: string) => {
  const { privateKey, publicKey } = await generateKeyPair("EdDSA", { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid } };
};
const ours = await makePair("ours");
const next = await makePair("next");

async function sign(payload: string, header: object, { privateKey } = ours): Promise<Buffer> {
  const signer = new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg: "EdDSA", ...header });
  return Buffer.from(await signer.sign(privateKey));
}
const policy = (mark: string, header: object): Promise<Buffer> =>
  sign(text({ plugins: ["auth"], pluginConfig: { auth: { exclude: [`/${mark}`] } } }), {
    typ: policyType,
    for: "policy",
    iat: 1,
    ...header,
  });
const legacy = (): Promise<Buffer> => sign(text({ plugins: [] }), {});
const keySet = (payload: unknown, epoch: number, by = ours): Promise<Buffer> =>
  sign(JSON.stringify(payload), { typ: keySetType, for: keySetKey, epoch, iat: 1 }, by);
const raw = (shared: Buffer, keySets: readonly Buffer[] = []): RawPolicy => ({
  shared,
  layer: undefined,
  format: "json",
  keySets,
});

async function createFreshness(nowMs = 1_000_000): Promise<Freshness> {
  const keys = { keys: [ours.jwk] };
  const reader = { plugins: samplePlugins, service: "users", upstreamAllow: [], keys };
  const [read, trust] = [await createPolicyReader(reader), await createTrust(keys)];
  return new Freshness({ read, trust, now: () => nowMs });
}

/** Puts it in force if it may be. @returns why it may not */
async function take(freshness: Freshness, next: RawPolicy): Promise<string> {
  const learned = await freshness.learn(next.keySets);
  const { raw: completed, notices } = freshness.complete(next, undefined);
  const problems = [...learned.notices, ...notices];
  try {
    freshness.note(await freshness.read(completed));
  } catch (error) {
    problems.push(...problemsOf(error));
  }
  return problems.map(problemText).join("; ");
}

describe("epochs", () => {
  test("what is signed without one counts until one has been in force", async () => {
    const freshness = await createFreshness();
    assert.equal(await take(freshness, raw(await legacy())), "");
    assert.equal(await take(freshness, raw(await policy("a", { epoch: 3 }))), "");
    assert.match(await take(freshness, raw(await legacy())), /without an epoch/);
    assert.match(await take(freshness, raw(await policy("a", { epoch: 2 }))), /is of epoch 2/);
  });

  test("the same document may be signed anew under its epoch, another one may not", async () => {
    const freshness = await createFreshness();
    assert.equal(await take(freshness, raw(await policy("a", { epoch: 3 }))), "");
    assert.equal(await take(freshness, raw(await policy("a", { epoch: 3, iat: 2, exp: 5_000 }))), "");
    assert.match(
      await take(freshness, raw(await policy("b", { epoch: 3 }))),
      /another one that has been in force/,
    );
  });

  test("what was kept counts as having been in force, over its end", async () => {
    const over = await policy("a", { epoch: 3, exp: 900 });
    assert.match(await take(await createFreshness(), raw(over)), /signed until 1970-01-01T00:15:00.000Z/);
    const freshness = await createFreshness();
    await freshness.remember(raw(over));
    assert.equal(await take(freshness, raw(over)), "");
    assert.match(
      problemText(freshness.over(await freshness.read(raw(over)))[0] ?? { path: "", message: "" }),
      /stays/,
    );
    assert.match(await take(freshness, raw(await policy("b", { epoch: 4, exp: 900 }))), /signed until/);
  });
});

describe("keys that came later", () => {
  const nextPolicy = (): Promise<Buffer> =>
    sign(text({ plugins: [] }), { typ: policyType, for: "policy", iat: 1, epoch: 9 }, next);

  test("a key that counts names another one, which may name the next, and revokes by thumbprint", async () => {
    const freshness = await createFreshness();
    const third = await makePair("third");
    const [trusted] = (await (await createTrust({ keys: [ours.jwk] }))([])).keys;
    const first = await keySet({ keys: [next.jwk], revoked: [] }, 1);
    const second = await keySet({ keys: [third.jwk], revoked: [trusted?.thumbprint] }, 2, next);
    assert.equal(await take(freshness, raw(await nextPolicy(), [first])), "");
    const byThird = await sign(text({}), { typ: policyType, for: "policy", iat: 1, epoch: 10 }, third);
    assert.equal(await take(freshness, raw(byThird, [second])), "");
    assert.equal(freshness.keySets.length, 2);
    assert.match(await take(freshness, raw(await policy("a", { epoch: 11 }), [second])), /not signed by any/);
  });

  test("nobody else's, no older one and no wrong one counts, and what counted goes on", async () => {
    const freshness = await createFreshness();
    const good = await keySet({ keys: [next.jwk], revoked: [] }, 5);
    assert.equal(await take(freshness, raw(await nextPolicy(), [good])), "");
    const refused: [Buffer, RegExp][] = [
      [await keySet({ keys: [], revoked: [] }, 6, await makePair("ours")), /not signed by a key that counts/],
      [await keySet({ keys: [], revoked: [] }, 5), /is of epoch 5, and one of epoch 5 counts/],
      [await keySet({ keys: [{ kty: "oct", k: "AA" }], revoked: [] }, 7), /private or secret/],
      [await keySet({ keys: [], revoked: ["short"] }, 7), /is no document of keys: revoked.0/],
      [await keySet({ keys: [], revoked: [], more: 1 }, 7), /is no document of keys/],
      [await policy("a", { epoch: 7 }), /needs typ/],
      [Buffer.from("{}"), /is not signed/],
    ];
    for (const [document, reason] of refused) {
      const said = await take(freshness, raw(await nextPolicy(), [document]));
      assert.match(said, reason);
      assert.match(said, /^policy-keys: /);
      assert.doesNotMatch(said, /; policy/, "the policy itself is in force");
    }
    assert.match(await take(freshness, raw(await nextPolicy(), [])), /is gone, which nobody signed/);
  });

  test("of many documents those are remembered that the last one needs, and one that needs too many does not count", async () => {
    const freshness = await createFreshness();
    const [trusted] = (await (await createTrust({ keys: [ours.jwk] }))([])).keys;
    const revoked = [trusted?.thumbprint];
    const step = async (document: Buffer): Promise<string> =>
      take(freshness, raw(await nextPolicy(), [document]));
    await step(await keySet({ keys: [next.jwk], revoked: [] }, 1));
    for (let epoch = 2; epoch < 20; epoch += 1)
      await step(await keySet({ keys: [next.jwk], revoked }, epoch, next));
    assert.equal(freshness.keySets.length, 2);
    assert.match(await take(freshness, raw(await policy("a", { epoch: 50 }))), /not signed by any/);
    // Each by a key that only the one before it names: all are needed.
    const chain = freshness.keySets.slice(0, 1) as Buffer[];
    let signer = next;
    for (let epoch = 20; epoch < 52; epoch += 1) {
      const named = await makePair(`k${epoch}`);
      chain.push(await keySet({ keys: [next.jwk, named.jwk], revoked }, epoch, signer));
      signer = named;
    }
    await freshness.remember(raw(await nextPolicy(), chain.slice(0, 32)));
    const said = await step(chain[32] as Buffer);
    assert.match(said, /by more than 32 documents/);
    assert.equal(freshness.keySets.length, 32);
    assert.match(await take(freshness, raw(await policy("a", { epoch: 51 }))), /not signed by any/);
  });

  test("the last key cannot be revoked", async () => {
    const trust = await createTrust({ keys: [ours.jwk] });
    const [{ thumbprint } = { thumbprint: "" }] = (await trust([])).keys;
    const { keys, problems } = await trust([await keySet({ keys: [], revoked: [thumbprint] }, 1)]);
    assert.deepEqual([keys.length, problems[0]?.message], [1, "leaves no key"]);
  });
});

// Signed policies: if keys are configured nothing else is accepted, and no other kind of token passes for a policy.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CompactSign, type CryptoKey, type JWK, SignJWT, exportJWK, generateKeyPair } from "jose";
import type { PublicKeySet } from "../../../../src/config/formats.ts";
import { type EffectivePolicy, createPolicyReader, createTrust } from "../../../../src/policy/read.ts";
import { policyType } from "../../../../src/policy/signature/signature.ts";
import { problemsOf, samplePlugins, text } from "../sample.ts";

interface Pair {
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

async function pair(alg: string, members: JWK = {}): Promise<Pair> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), alg, ...members } };
}

const set = (...keys: JWK[]): PublicKeySet => ({ keys });

function sign(document: string, { privateKey }: Pair, header: Record<string, unknown>): Promise<string> {
  return new CompactSign(Buffer.from(document))
    .setProtectedHeader({ alg: "ES256", ...header })
    .sign(privateKey);
}

async function read(
  keys: PublicKeySet | undefined,
  shared: string,
  layer?: string,
): Promise<EffectivePolicy> {
  const reader = await createPolicyReader({
    plugins: samplePlugins,
    service: "users",
    upstreamAllow: [],
    keys,
  });
  return reader({
    shared: Buffer.from(shared),
    layer: layer === undefined ? undefined : Buffer.from(layer),
    format: "json",
  });
}

const said = async (attempt: () => unknown): Promise<string> =>
  (await problemsOf(attempt)).map(({ document, message }) => `${document}: ${message}`).join("; ");

const ours = await pair("ES256", { kid: "one" });
const theirs = await pair("ES256", { kid: "one" });
const document = text({ plugins: ["auth"] });

describe("with keys", () => {
  test("a document signed by one of them is in force, whatever its algorithm", async () => {
    for (const alg of ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS512"]) {
      const key = await pair(alg);
      const policy = await read(set(ours.jwk, key.jwk), await sign(document, key, { alg, typ: policyType }));
      assert.equal(policy.signed, "verified", alg);
      assert.deepEqual(policy.document.plugins, ["auth"]);
    }
  });

  test("shared policy and layer must both be signed", async () => {
    const signed = await sign(document, ours, {});
    assert.match(await said(() => read(set(ours.jwk), document, signed)), /^policy: is not signed/);
    assert.match(await said(() => read(set(ours.jwk), signed, document)), /^policy:users: is not signed/);
    assert.equal((await read(set(ours.jwk), signed, signed)).signed, "verified");
  });

  test("a signature of another key, or over other bytes, is refused", async () => {
    const keys = set(ours.jwk);
    const none = "policy: is not signed by any of OUTRIGGER_POLICY_KEYS";
    assert.equal(await said(async () => read(keys, await sign(document, theirs, { kid: "one" }))), none);
    assert.equal(await said(async () => read(keys, await sign(document, ours, { kid: "two" }))), none);
    const [header, , signature] = (await sign(document, ours, {})).split(".");
    const other = Buffer.from(text({ plugins: [] })).toString("base64url");
    assert.equal(await said(() => read(keys, `${header}.${other}.${signature}`)), none);
  });

  test("the algorithm is the key's: none and HMAC with the public key do not pass", async () => {
    const keys = set(ours.jwk);
    const payload = Buffer.from(document).toString("base64url");
    const none = Buffer.from('{"alg":"none"}').toString("base64url");
    assert.match(await said(() => read(keys, `${none}.${payload}.AA`)), /not signed by any/);
    const secret = Buffer.from(JSON.stringify(ours.jwk));
    const hmac = await new CompactSign(Buffer.from(document))
      .setProtectedHeader({ alg: "HS256" })
      .sign(secret);
    assert.match(await said(() => read(keys, hmac)), /not signed by any/);
    // An RSA key can do either padding; only the one it says counts.
    const pss = await pair("PS256");
    const token = await sign(document, pss, { alg: "PS256" });
    assert.match(await said(() => read(set({ ...pss.jwk, alg: "RS256" }), token)), /not signed by any/);
    assert.ok(await read(set(pss.jwk), token));
  });

  test("crit, another typ, another place and a token of another kind are refused", async () => {
    const keys = set(ours.jwk);
    const crit = `${Buffer.from('{"alg":"ES256","crit":["x"],"x":1}').toString("base64url")}.e30.AA`;
    assert.match(await said(() => read(keys, crit)), /"crit"/);
    const jwt = await new SignJWT({}).setProtectedHeader({ alg: "ES256", typ: "JWT" }).sign(ours.privateKey);
    assert.match(await said(() => read(keys, jwt)), /typ other than/);
    const forLayer = await sign(document, ours, { for: "policy:users" });
    assert.match(
      await said(() => read(keys, forLayer)),
      /^policy: was signed for "policy:users", which is another key/,
    );
    assert.ok(await read(keys, await sign(document, ours, { for: "policy" }), forLayer));
    const anywhere = await sign(document, ours, { typ: policyType, epoch: 1, iat: 1 });
    assert.match(await said(() => read(keys, anywhere)), /lacks typ, for or iat/);
    for (const header of [{ epoch: 0 }, { epoch: "7" }, { exp: 1.5 }, { iat: -1 }, { for: 1 }, { kid: 1 }])
      assert.match(await said(async () => read(keys, await sign(document, ours, header))), /has no valid/);
  });

  test("a signed document is still parsed strictly", async () => {
    const signed = await sign(text({ plugins: ["auht"] }), ours, {});
    assert.match(await said(() => read(set(ours.jwk), signed)), /unknown plugin "auht"/);
    const large = await sign(text({ plugins: [] }) + " ".repeat(1_048_576), ours, {});
    assert.match(await said(() => read(set(ours.jwk), large)), /bytes long/);
  });

  test("keys that cannot do it are refused at the start", async () => {
    const { alg: _, ...rsa } = (await pair("RS256")).jwk;
    const broken: [JWK, RegExp][] = [
      [{ kty: "oct", k: "AA" }, /keys\[0\] is a private or secret key/],
      [{ ...ours.jwk, d: "AA" }, /private or secret/],
      [{ ...ours.jwk, use: "enc" }, /not for signatures/],
      [{ ...ours.jwk, alg: "HS256" }, /cannot do/],
      [{ ...ours.jwk, crv: "secp256k1" }, /unknown key type or curve/],
      [rsa, /must say its alg/],
      [{ ...rsa, alg: "RS256", e: "AQ" }, /an exponent that makes no signatures/],
      [{ ...ours.jwk, x: "AA" }, /not a valid public key/],
    ];
    for (const [jwk, message] of broken) await assert.rejects(createTrust(set(jwk)), message);
    await assert.rejects(createTrust(set(...Array<JWK>(33).fill(ours.jwk))), /more than 32/);
  });
});

describe("without keys", () => {
  test("a signed document is opened unchecked, and the status says so", async () => {
    const policy = await read(undefined, await sign(document, theirs, {}));
    assert.equal(policy.signed, "unverified");
    assert.deepEqual(policy.document.plugins, ["auth"]);
    assert.equal((await read(undefined, document)).signed, "no");
    assert.equal(
      (await read(undefined, document, await sign(document, theirs, {}))).signed,
      "no",
      "the weakest counts",
    );
  });

  test("what only looks like one is refused", async () => {
    assert.match(await said(() => read(undefined, "a.b.c")), /no valid header/);
  });
});

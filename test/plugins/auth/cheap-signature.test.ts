// Signatures that are verified without jose: the same tokens are accepted, and the same refused.
import assert from "node:assert/strict";
import { randomBytes, sign } from "node:crypto";
import { test } from "node:test";
import { compactVerify, exportPKCS8, importJWK, type CryptoKey } from "jose";
import {
  cheapCheckOf,
  pooledCheckOf,
  type CheapCheck,
} from "../../../plugins/auth/issuers/cheap-signature.ts";
import { makeRoute, makeServices, withBearer } from "./harness.ts";
import { makeSigningKey, TokenIssuer } from "./token-issuer.ts";

const rsa = await makeSigningKey("rsa", "RS256");
const publicKey = (await importJWK(rsa.jwk, "RS256")) as CryptoKey;
const privateKey = await exportPKCS8(rsa.privateKey);

const encoded = (text: string): string => Buffer.from(text).toString("base64url");
/** Signs whatever stands before the signature. */
const signed = (input: string, hash = "sha256"): string =>
  `${input}.${sign(hash, Buffer.from(input), privateKey).toString("base64url")}`;
/** With letters that stand for no bytes at its end. */
const cutOff = (part: string): string => part + "A".repeat((5 - (part.length % 4)) % 4);
const header = encoded('{"alg":"RS256"}');

function checkOf(algorithm: string, key: CryptoKey): CheapCheck {
  const check = cheapCheckOf(algorithm, key);
  assert.ok(check, `${algorithm} is checked at once`);
  return check;
}

async function takenByJose(token: string, key = publicKey, algorithm = "RS256"): Promise<boolean> {
  return await compactVerify(token, key, { algorithms: [algorithm] }).then(
    () => true,
    () => false,
  );
}

/** A public key that nobody has the private one of. */
async function keyOf(bits: number, exponent: string, algorithm: string): Promise<CryptoKey> {
  const modulus = randomBytes(bits / 8);
  modulus[0] = 0xc1;
  modulus[modulus.length - 1] = 0xc1;
  const jwk = { kty: "RSA", n: modulus.toString("base64url"), e: exponent };
  return (await importJWK(jwk, algorithm)) as CryptoKey;
}

test("every token is taken or refused as jose does it", async () => {
  const check = checkOf("RS256", publicKey);
  const good = signed(`${header}.${encoded('{"iss":"joe"}')}`);
  const [, payload = "", signature = ""] = good.split(".");
  const last = signature.at(-1) === "A" ? "Q" : "A";
  const flipped = (at: number): string =>
    signature.slice(0, at) + (signature[at] === "B" ? "C" : "B") + signature.slice(at + 1);
  const tokens = {
    good,
    "a changed payload": `${header}.${encoded('{"iss":"eve"}')}.${signature}`,
    "a changed header": `${encoded('{"alg":"RS256" }')}.${payload}.${signature}`,
    "a first letter changed": `${header}.${payload}.${flipped(0)}`,
    "a letter changed": `${header}.${payload}.${flipped(170)}`,
    "bits that count changed": `${header}.${payload}.${signature.slice(0, -1)}${last}`,
    "a letter too many": `${good}A`,
    "two letters too many": `${good}AA`,
    "three letters too many": `${good}AAA`,
    "a letter too few": good.slice(0, -1),
    "three letters too few": good.slice(0, -3),
    "a signature of nothing": `${header}.${payload}.A`,
    "a signature of zeroes": `${header}.${payload}.${"A".repeat(signature.length)}`,
    "another hash": signed(`${header}.${payload}`, "sha512"),
    "a payload that is no base64url": signed(`${header}.${cutOff(payload)}`),
    "a header that is no base64url": signed(`${cutOff(header)}.${payload}`),
  };
  for (const [name, token] of Object.entries(tokens))
    assert.equal(check(token), await takenByJose(token), name);
  assert.deepEqual(
    Object.entries(tokens).flatMap(([name, token]) => (check(token) ? [name] : [])),
    ["good"],
  );
  // Bits of the last letter that stand for nothing.
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const same = good.slice(0, -1) + letters[letters.indexOf(good.at(-1) as string) ^ 1];
  assert.deepEqual([check(same), await takenByJose(same)], [true, true]);
});

test("so is every token on the threads of the pool", async () => {
  for (const algorithm of ["ES256", "EdDSA", "Ed25519"]) {
    const { jwk, privateKey: signs } = await makeSigningKey("pooled", algorithm);
    const key = (await importJWK(jwk, algorithm)) as CryptoKey;
    const check = pooledCheckOf(algorithm, key);
    assert.ok(check);
    const pem = await exportPKCS8(signs);
    const sealed = (input: string, hash = algorithm === "ES256" ? "sha256" : null): string => {
      const signature = sign(hash, Buffer.from(input), { key: pem, dsaEncoding: "ieee-p1363" });
      return `${input}.${signature.toString("base64url")}`;
    };
    const [start, payload] = [encoded(`{"alg":"${algorithm}"}`), encoded('{"iss":"joe"}')];
    const good = sealed(`${start}.${payload}`);
    const [, , signature = ""] = good.split(".");
    const tokens = [
      good,
      `${start}.${encoded('{"iss":"eve"}')}.${signature}`,
      ...[0, 20, 60].map((at) => {
        const letter = signature[at] === "B" ? "C" : "B";
        return `${start}.${payload}.${signature.slice(0, at)}${letter}${signature.slice(at + 1)}`;
      }),
      ...["A", "AA", "AAA", "AAAA"].map((more) => good + more),
      ...[1, 2, 3, 4].map((fewer) => good.slice(0, -fewer)),
      `${start}.${payload}.A`,
      `${start}.${payload}.${"A".repeat(signature.length)}`,
      `${start}.${payload}.${sign("sha256", Buffer.from(start), privateKey).toString("base64url")}`,
      sealed(`${cutOff(start)}.${payload}`),
      sealed(`${start}.${cutOff(payload)}`),
    ];
    for (const [index, token] of tokens.entries()) {
      const taken = await takenByJose(token, key, algorithm);
      assert.equal(await check(token), taken, `${algorithm} ${index}`);
      assert.equal(taken, index === 0, `${algorithm} ${index}`);
    }
  }
});

test("each RSA algorithm has its own hash", () => {
  const input = `${header}.${encoded("{}")}`;
  for (const [algorithm, hash] of [
    ["RS256", "sha256"],
    ["RS384", "sha384"],
    ["RS512", "sha512"],
  ] as const) {
    const check = checkOf(algorithm, publicKey);
    assert.deepEqual(
      ["sha256", "sha384", "sha512"].filter((each) => check(signed(input, each))),
      [hash],
    );
  }
});

test("what is dear, too small or of another kind is left to jose", async () => {
  assert.equal(cheapCheckOf("RS256", await keyOf(1_024, "AQAB", "RS256")), undefined);
  assert.equal(cheapCheckOf("RS256", await keyOf(4_096, "AQAB", "RS256")), undefined);
  assert.equal(cheapCheckOf("RS256", await keyOf(2_048, "AQAD", "RS256")), undefined, "exponent 65,539");
  assert.ok(cheapCheckOf("RS256", await keyOf(3_072, "Aw", "RS256")));
  assert.equal(cheapCheckOf("PS256", await keyOf(2_048, "AQAB", "PS256")), undefined);
  for (const algorithm of ["ES256", "EdDSA"]) {
    const { jwk } = await makeSigningKey("other", algorithm);
    assert.equal(cheapCheckOf(algorithm, (await importJWK(jwk, algorithm)) as CryptoKey), undefined);
  }
  assert.equal(cheapCheckOf("RS256", rsa.privateKey), undefined);
  for (const algorithm of ["RS256", "PS256", "ES384", "HS256"])
    assert.equal(pooledCheckOf(algorithm, publicKey), undefined);
  assert.equal(pooledCheckOf("ES256", (await makeSigningKey("own")).privateKey), undefined);
});

test("once its key is known, a token seen for the first time is answered plainly", async (t) => {
  const issuer = await TokenIssuer.start("RS256");
  t.after(() => issuer.close());
  const services = await makeServices();
  const facts = { issuer: issuer.url, jwksUri: issuer.jwksUri, algorithms: ["RS256", "RS512"] };
  const jwt = { issuers: [facts], jwksRefreshSeconds: 60 };
  const route = await makeRoute({ guessing: false, jwt }, services);
  t.after(() => route.close());
  const ask = async (token: string): Promise<[number, string | undefined, boolean]> => {
    const { status, identity, because, plainly } = await route.ask(withBearer(token));
    return [status, identity?.userId ?? because, plainly];
  };
  const first = await issuer.sign({ sub: "first" });
  assert.deepEqual(await ask(first), [200, "first", false], "jose finds the key");
  const second = await issuer.sign({ sub: "second" });
  assert.deepEqual(await ask(second), [200, "second", true]);
  const [start, payload] = second.split(".");
  const forged = `${start}.${payload}.${first.split(".")[2]}`;
  assert.deepEqual(await ask(forged), [401, "token: signature", true]);
  const other = await makeSigningKey("first-RS256", "RS256");
  assert.deepEqual(await ask(await issuer.sign({}, { key: other })), [401, "token: signature", true]);
  const pem = await exportPKCS8(issuer.keys[0]?.privateKey as CryptoKey);
  for (const hash of ["sha256", "sha512"]) {
    const unsigned = `${encoded('{"alg":"RS512","kid":"first-RS256"}')}.${payload}`;
    const token = `${unsigned}.${sign(hash, Buffer.from(unsigned), pem).toString("base64url")}`;
    assert.equal((await ask(token))[0], 401, "the key is for RS256 alone");
  }

  // The same key id with another key: what the old one signed is nobody's from then on.
  issuer.keys = [other];
  services.clock.forward(60_000);
  await route.state.sources.values()[0]?.refresh();
  assert.deepEqual((await ask(second)).slice(0, 2), [401, "token: signature"]);
  assert.deepEqual((await ask(await issuer.sign({ sub: "third" }))).slice(0, 2), [200, "third"]);
  assert.deepEqual(await ask(await issuer.sign({ sub: "fourth" })), [200, "fourth", true]);
});

test("whoever has shown too many bad tokens has none looked at by the event loop", async (t) => {
  const issuer = await TokenIssuer.start("RS256");
  t.after(() => issuer.close());
  const jwt = { issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, algorithms: ["RS256"] }] };
  const guessing = { failures: 1, windowSeconds: 60 };
  const route = await makeRoute({ guessing, jwt }, await makeServices());
  t.after(() => route.close());
  const ask = async (token: string): Promise<[number, boolean]> => {
    const { status, plainly } = await route.ask(withBearer(token));
    return [status, plainly];
  };
  await ask(await issuer.sign({ sub: "first" }));
  assert.deepEqual(await ask(await issuer.sign({ sub: "second" })), [200, true]);
  const other = await makeSigningKey("first-RS256", "RS256");
  assert.deepEqual(await ask(await issuer.sign({}, { key: other })), [401, true]);
  assert.deepEqual(await ask(await issuer.sign({ sub: "neighbour" })), [200, false]);
  const [, plainly] = await ask(await issuer.sign({ sub: "again" }, { key: other }));
  assert.equal(plainly, false);
});

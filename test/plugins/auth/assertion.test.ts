// The signed identity towards the service: its content, how the service verifies it, and that no one else can send it.
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeProtectedHeader,
  jwtVerify,
  type JSONWebKeySet,
} from "jose";
import { startSidecar } from "../../support/sidecar.ts";
import { keyDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import { makeRoute, makeServices, withKey } from "./harness.ts";

const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" });
const pem = (): string => pemOf(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
const keys = [
  {
    sha256: keyDigest("abc"),
    id: "k1",
    userId: "u1",
    plan: "pro",
    scopes: ["a", "b"],
    claims: { tenant: "acme", secret: 1 },
  },
];

test("the service checks who calls with the keys that the admin listener publishes", async () => {
  const options = { apiKeys: { keys }, assertion: { claims: ["tenant"] }, required: false };
  const sidecar = await startSidecar({
    policy: { plugins: ["auth"], pluginConfig: { auth: options } },
    upstream: (request, response) => response.end(request.headers["x-outrigger-identity"] ?? "none"),
    env: { OUTRIGGER_SERVICE: "orders", OUTRIGGER_ASSERTION_KEY: pem() },
  });
  try {
    const ask = async (headers: Record<string, string>): Promise<string> =>
      await (await fetch(sidecar.url, { headers })).text();
    const jwt = await ask({ "X-Api-Key": "abc", "X-Outrigger-Identity": "forged" });
    const published = createRemoteJWKSet(new URL(`${sidecar.adminUrl}/plugins/auth/jwks.json`));
    const { payload } = await jwtVerify(jwt, published, {
      issuer: "outrigger",
      audience: "orders",
      algorithms: ["ES256"],
    });
    const { iat, exp, ...claims } = payload;
    assert.equal(Number(exp) - Number(iat), 60);
    assert.deepEqual(claims, {
      iss: "outrigger",
      aud: "orders",
      sub: "u1",
      plan: "pro",
      scope: "a b",
      roles: [],
      method: "api-key",
      claims: { tenant: "acme" },
    });
    assert.equal(await ask({ "X-Outrigger-Identity": "forged" }), "none", "nobody known, nothing asserted");
    assert.equal(await ask({ x_outrigger_identity: "forged" }), "none");
    const jwks = (await (await fetch(`${sidecar.adminUrl}/plugins/auth/jwks.json`)).json()) as JSONWebKeySet;
    assert.equal(jwks.keys.length, 1);
    assert.ok(jwks.keys.every((key) => !("d" in key)));
  } finally {
    await sidecar.stop();
  }
});

test("an assertion is reused for its first half, then made anew", async () => {
  const services = await makeServices({ secrets: { ASSERTION_KEY: pem() } });
  const route = await makeRoute({ apiKeys: { keys }, assertion: { lifetimeSeconds: 60 } }, services);
  const first = await route.ask(withKey("abc"));
  const second = await route.ask(withKey("abc"));
  assert.deepEqual([first.plainly, second.plainly], [false, true]);
  assert.equal(second.fields.get("x-outrigger-identity"), first.fields.get("x-outrigger-identity"));
  services.clock.forward(31_000);
  const third = await route.ask(withKey("abc"));
  assert.notEqual(third.fields.get("x-outrigger-identity"), first.fields.get("x-outrigger-identity"));
});

test("keys come as PEM or JWK in every algorithm, and one that is missing or does not fit refuses the policy", async () => {
  const ed = generateKeyPairSync("ed25519").privateKey;
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const good: [string, string][] = [
    ["ES256", pem()],
    ["EdDSA", JSON.stringify(ed.export({ format: "jwk" }))],
    ["RS256", pemOf(rsa)],
    ["PS256", JSON.stringify(rsa.export({ format: "jwk" }))],
  ];
  for (const [algorithm, key] of good) {
    const services = await makeServices({ secrets: { ASSERTION_KEY: key } });
    const route = await makeRoute({ apiKeys: { keys }, assertion: { algorithm } }, services);
    const jwt = (await route.ask(withKey("abc"))).fields.get("x-outrigger-identity") ?? "";
    const jwks = JSON.parse(route.hooks.documents?.["jwks.json"]?.() ?? "") as JSONWebKeySet;
    assert.equal((await jwtVerify(jwt, createLocalJWKSet(jwks))).payload.sub, "u1");
    assert.equal(decodeProtectedHeader(jwt).typ, "outrigger-identity+jwt");
  }
  const bad: [string | undefined, RegExp][] = [
    [undefined, /OUTRIGGER_ASSERTION_KEY is not set/],
    ["garbage-that-is-secret", /holds no private key/],
    [JSON.stringify(ed.export({ format: "jwk" })), /does not fit ES256/],
  ];
  for (const [key, message] of bad) {
    const services = await makeServices({ ...(key !== undefined && { secrets: { ASSERTION_KEY: key } }) });
    await assert.rejects(makeRoute({ assertion: {} }, services), (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /garbage/);
      return true;
    });
  }
});

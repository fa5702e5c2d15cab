// Published vectors: RFC 7515 appendix A (RFC 7519 uses the same tokens) and RFC 8037 appendix A, accepted or refused
// for the right reason.
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRoute, makeServices, withBearer, type TestServices } from "./harness.ts";
import { Issuer, type KeyMaterial } from "../../../plugins/auth/issuers/issuer.ts";
import { KeySet, parseJwks } from "../../../plugins/auth/issuers/key-set.ts";
import { decodeToken } from "../../../plugins/auth/tokens/token-parts.ts";
import { accepted } from "../../../plugins/auth/auth-result.ts";
import { authOptions } from "../../../plugins/auth/options.ts";
import { identityOf } from "../../support/exchange.ts";

// RFC 7515 appendix A: claims {"iss":"joe","exp":1300819380,"http://example.com/is_root":true}.
const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const hs256 = `eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.${joe}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk`;
const hsKey = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const rs256 =
  `eyJhbGciOiJSUzI1NiJ9.${joe}.` +
  "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const rsaKey = {
  kty: "RSA",
  n: "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
  e: "AQAB",
};
const es256 = `eyJhbGciOiJFUzI1NiJ9.${joe}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`;
const ecKey = {
  kty: "EC",
  crv: "P-256",
  x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
  y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
};
// RFC 7515 appendix A.4: ES512 over the text "Payload".
const es512 =
  "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
// RFC 8037 appendix A.4: EdDSA over the text "Example of Ed25519 signing".
const ed25519 =
  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const edKey = { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" };
// RFC 7515 appendix A.5, the unsecured JWS.
const unsecured = `eyJhbGciOiJub25lIn0.${joe}.`;

const services: TestServices = await makeServices();
const set = (...keys: object[]): KeyMaterial => ({
  kind: "set",
  set: new KeySet(parseJwks({ keys }).jwks, 0),
});
const issuerWith = (keys: KeyMaterial, algorithm: string): Issuer => {
  const source = keys.kind === "secret" ? { secret: "SECRET_X" } : { jwks: { keys: [rsaKey] } };
  const facts = { issuer: "joe", algorithms: [algorithm], claims: { userId: "iss" }, ...source };
  const [options] = authOptions.parse({ jwt: { issuers: [facts] } }).jwt?.issuers ?? [];
  if (options === undefined) throw new Error("no issuer");
  return new Issuer(options, keys, services.services.clock);
};
const verifies = async (token: string, keys: KeyMaterial, algorithm: string): Promise<boolean> => {
  const parts = { header: {}, claims: {} };
  return "endsMs" in (await issuerWith(keys, algorithm).verify(token, parts, accepted(identityOf({}))));
};

test("the signatures of the RFCs verify with their keys, and with no other algorithm or key", async () => {
  const secret = { kind: "secret", secret: Buffer.from(hsKey, "base64url") } as const;
  assert.ok(await verifies(hs256, secret, "HS256"));
  assert.ok(await verifies(rs256, set(rsaKey), "RS256"));
  assert.ok(await verifies(es256, set(ecKey), "ES256"));
  assert.ok(await verifies(ed25519, set(edKey), "EdDSA"));
  assert.equal(await verifies(rs256, set(rsaKey), "PS256"), false);
  assert.equal(await verifies(es256, set(rsaKey), "ES256"), false);
  assert.equal(
    await verifies(hs256, { kind: "secret", secret: Buffer.from("x".repeat(64)) }, "HS256"),
    false,
  );
  for (const [token, keys, algorithm] of [
    [rs256, set(rsaKey), "RS256"],
    [es256, set(ecKey), "ES256"],
    [ed25519, set(edKey), "EdDSA"],
  ] as const) {
    const [header, payload, signature = ""] = token.split(".");
    const flipped = (signature.startsWith("A") ? "B" : "A") + signature.slice(1);
    assert.equal(await verifies(`${header}.${payload}.${flipped}`, keys, algorithm), false);
  }
});

test("their claims are read as printed, and the tokens are refused for being of 2011", async () => {
  assert.deepEqual(decodeToken(rs256), {
    header: { alg: "RS256" },
    claims: { iss: "joe", exp: 1_300_819_380, "http://example.com/is_root": true },
  });
  const jwks = { keys: [rsaKey, ecKey] };
  const issuer = { issuer: "joe", jwks, algorithms: ["RS256", "ES256"], claims: { userId: "iss" } };
  const route = await makeRoute({ jwt: { issuers: [issuer] } }, services);
  assert.equal((await route.ask(withBearer(rs256))).because, "token: expired");
  assert.equal((await route.ask(withBearer(es256))).because, "token: expired");
  assert.equal((await route.ask(withBearer(hs256))).because, "token: algorithm");
  assert.equal((await route.ask(withBearer(unsecured))).because, "token: malformed");
  assert.equal(
    (await route.ask(withBearer(es512))).because,
    "token: not JSON objects, too deep, or a member twice",
  );
  services.clock.aheadMs = 1_300_819_000_000 - Date.now();
  for (const token of [rs256, es256]) {
    const answer = await route.ask(withBearer(token));
    assert.deepEqual([answer.status, answer.identity?.userId], [200, "joe"], "at its own time it is good");
  }
  services.clock.aheadMs = 0;
});

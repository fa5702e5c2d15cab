// A sealed session is valid for its own login and its own refresh only.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { CookieSealer } from "../../../plugins/auth/sessions/cookie-sealer.ts";
import { authOptions } from "../../../plugins/auth/options.ts";
import type { LoginOptions } from "../../../plugins/auth/login/options.ts";
import {
  loginId,
  refreshDigest,
  SessionSeal,
  type Session,
} from "../../../plugins/auth/sessions/session-seal.ts";

const sealer = new CookieSealer(randomBytes(32).toString("base64url"), "KEYS");
const loginWith = (facts: object = {}): LoginOptions => {
  const login = {
    issuer: "https://id.example",
    clientId: "shop",
    publicUrl: "https://app.example",
    ...facts,
  };
  const parsed = authOptions.parse({ jwt: { login } }).jwt?.login;
  assert.ok(parsed);
  return parsed;
};
const sessionAt = (login: LoginOptions, facts: Partial<Session> = {}): Session => ({
  login: loginId(login),
  id: "s-1",
  startedMs: 1,
  endsMs: 2,
  claims: { sub: "ada" },
  ...facts,
});

test("a session counts at logins of the same issuer, client, origin and cookie name alone", async () => {
  const login = loginWith();
  const sealed = await new SessionSeal(sealer, login).forBrowser(sessionAt(login));
  const takenBy = async (other: object): Promise<unknown> =>
    await new SessionSeal(sealer, loginWith(other)).fromBrowser(sealed);
  assert.deepEqual(await takenBy({ requiredClaims: { staff: true } }), sessionAt(login));
  for (const other of [
    { issuer: "https://evil.example" },
    { clientId: "bank" },
    { publicUrl: "https://other.example" },
    { cookieName: "app" },
  ])
    assert.deepEqual(await takenBy(other), { ofAnotherLogin: true, startedMs: 1 }, JSON.stringify(other));
});

test("what a refresh gave counts for that refresh, session and subject alone, and never as a cookie", async () => {
  const login = loginWith();
  const seal = new SessionSeal(sealer, login);
  const before = sessionAt(login);
  const renewed = { ...before, endsMs: 3 };
  const digest = refreshDigest(before, "token-1");
  const sealed = await seal.forFleet(renewed, digest);
  assert.deepEqual(await seal.fromFleet(sealed, digest, before), renewed);
  assert.equal(await seal.fromFleet(sealed, refreshDigest(before, "token-2"), before), undefined);
  assert.equal(await seal.fromFleet(sealed, digest, { ...before, id: "s-2" }), undefined);
  assert.equal(await seal.fromFleet(sealed, digest, { ...before, claims: { sub: "eve" } }), undefined);
  assert.notEqual(refreshDigest({ ...before, id: "s-2" }, "token-1"), digest);
  assert.equal(await seal.fromBrowser(sealed), undefined);
  assert.equal(await seal.fromFleet(await seal.forBrowser(renewed), digest, before), undefined);
  const elsewhere = loginWith({ clientId: "bank" });
  assert.equal(await new SessionSeal(sealer, elsewhere).fromFleet(sealed, digest, before), undefined);
});

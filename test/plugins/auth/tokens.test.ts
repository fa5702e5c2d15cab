// JWTs of a real issuer: which are accepted, every attack refused, and what the caches may and may not keep.
import assert from "node:assert/strict";
import { createHmac, createPublicKey, generateKeyPairSync, hash } from "node:crypto";
import { after, before, test } from "node:test";
import { SignJWT } from "jose";
import { compact, makeSigningKey, TokenIssuer, type SigningKey } from "./token-issuer.ts";
import {
  makeRoute,
  makeServices,
  withBearer,
  type Answer,
  type Route,
  type TestServices,
} from "./harness.ts";

let issuer: TokenIssuer;
let services: TestServices;
let route: Route;

const optionsFor = (facts: object = {}, jwt: object = {}): object => ({
  guessing: false,
  jwt: {
    issuers: [
      {
        issuer: issuer.url,
        jwksUri: issuer.jwksUri,
        algorithms: ["ES256", "RS256", "EdDSA"],
        audience: ["api"],
        ...facts,
      },
    ],
    ...jwt,
  },
});

before(async () => {
  issuer = await TokenIssuer.start("ES256", "RS256", "EdDSA");
  services = await makeServices();
  route = await makeRoute(optionsFor(), services);
});
after(async () => {
  await route.close();
  issuer.close();
  services.close();
});

const now = (): number => Math.floor(Date.now() / 1000);
const ask = (token: string): Promise<Answer> => route.ask(withBearer(token));

async function isRefused(token: string, because: RegExp | string, on = route): Promise<void> {
  const answer = await on.ask(withBearer(token));
  assert.equal(answer.status, 401, `${answer.status}: ${token.slice(0, 60)}`);
  assert.equal(answer.error, "Invalid or expired token");
  assert.equal(answer.identity, undefined);
  if (typeof because === "string") assert.equal(answer.because, `token: ${because}`);
  else assert.match(answer.because ?? "", because);
}

test("tokens of every pinned algorithm are taken, and become an identity", async () => {
  for (const key of issuer.keys) {
    const token = await issuer.sign({ scope: "read write", plan: "pro", roles: ["admin"] }, { key });
    const answer = await ask(token);
    assert.equal(answer.status, 200, key.alg);
    const { claims, expiresAt, ...identity } = answer.identity as NonNullable<Answer["identity"]>;
    assert.deepEqual(identity, {
      userId: "u1",
      plan: "pro",
      scopes: ["read", "write"],
      roles: ["admin"],
      method: "jwt",
      credentialId: issuer.url,
      issuer: issuer.url,
    });
    assert.equal(claims["aud"], "api");
    assert.equal(expiresAt, (claims["exp"] as number) * 1000);
  }
});

test("the scheme may be spelled in any case, and the token never reaches the service", async () => {
  const token = await issuer.sign();
  for (const scheme of ["Bearer", "bearer", "BEARER", "bEaReR"]) {
    const answer = await route.ask({ fields: ["authorization", `${scheme} ${token}`, "Accept", "*/*"] });
    assert.equal(answer.status, 200, scheme);
    assert.deepEqual(answer.fields.toFlat(), ["Accept", "*/*"]);
  }
});

test("nothing shown is 401 with a challenge and no error code", async () => {
  const answer = await route.ask();
  assert.equal(answer.error, "Authentication required");
  assert.deepEqual(answer.answerFields.getAll("www-authenticate"), [
    'Bearer realm="outrigger"',
    'ApiKey realm="outrigger"',
  ]);
});

test("a bad token is told no more than that it is not valid", async () => {
  const answer = await ask(await issuer.sign({ exp: now() - 100 }));
  assert.equal(
    answer.answerFields.getAll("www-authenticate")[0],
    'Bearer realm="outrigger", error="invalid_token"',
  );
});

test("alg none is refused in every spelling, with and without a signature", async () => {
  const claims = { iss: issuer.url, sub: "u1", aud: "api", exp: now() + 60 };
  for (const alg of ["none", "None", "NONE", "nOnE"]) {
    await isRefused(compact({ alg }, claims), "algorithm");
    await isRefused(compact({ alg }, claims, ""), "malformed");
  }
});

test("a public key used as an HMAC secret is refused", async () => {
  const claims = { iss: issuer.url, sub: "u1", aud: "api", exp: now() + 60 };
  for (const { jwk, kid } of issuer.keys) {
    const pem = createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
    for (const alg of ["HS256", "HS512", "hs256"]) {
      const unsigned = compact({ alg, kid }, claims).split(".").slice(0, 2).join(".");
      const signature = createHmac(alg === "HS512" ? "sha512" : "sha256", pem)
        .update(unsigned)
        .digest("base64url");
      await isRefused(`${unsigned}.${signature}`, "algorithm");
    }
  }
});

test("an algorithm that is good but not pinned, or written in another case, is refused", async () => {
  const narrow = await makeRoute(optionsFor({ algorithms: ["ES256"] }), services);
  await isRefused(await issuer.sign({}, { key: issuer.keys[1] as SigningKey }), "algorithm", narrow);
  const claims = { iss: issuer.url, sub: "u1", aud: "api", exp: now() + 60 };
  await isRefused(compact({ alg: "es256", kid: "first-ES256" }, claims), "algorithm");
  await isRefused(compact({ alg: ["ES256"] }, claims), "malformed");
  await isRefused(compact({}, claims), "malformed");
  await narrow.close();
});

test("keys that a token brings or points to are neither fetched nor believed", async () => {
  const attacker = await makeSigningKey("attacker");
  let fetched = 0;
  const bait = await TokenIssuer.start();
  bait.keys = [attacker];
  const hints = { jwk: attacker.jwk, jku: bait.jwksUri, x5u: bait.jwksUri };
  for (const [name, value] of Object.entries(hints)) {
    const header = { [name]: value, kid: undefined };
    await isRefused(await issuer.sign({}, { key: attacker, header }), "embedded key");
  }
  fetched = bait.fetches;
  assert.equal(fetched, 0);
  await isRefused(await issuer.sign({}, { key: attacker, header: { kid: "first-ES256" } }), "signature");
  bait.close();
});

test("times: expired, not yet valid, from the future, nonsense, and none at all", async () => {
  await isRefused(await issuer.sign({ exp: now() - 6 }), "expired");
  await isRefused(await issuer.sign({ nbf: now() + 60 }), "not yet valid");
  await isRefused(await issuer.sign({ iat: now() + 3_600 }), "issued in the future");
  await isRefused(await issuer.sign({ exp: 1e300 }), "exp");
  await isRefused(await issuer.sign({ exp: -1 }), "exp");
  await isRefused(await issuer.sign({ exp: undefined }), "exp");
  const claims = { iss: issuer.url, sub: "u1", aud: "api" };
  await isRefused(compact({ alg: "ES256" }, { ...claims, exp: "9999999999" }), "exp");
  await isRefused(compact({ alg: "ES256" }, { ...claims, exp: null }), "exp");
  await isRefused(compact({ alg: "ES256" }, { ...claims, exp: now() + 60, nbf: "x" }), "not yet valid");
  assert.equal((await ask(await issuer.sign({ exp: now() - 3 }))).status, 200, "within the tolerance");
  const aged = await makeRoute(optionsFor({ maxAgeSeconds: 60 }), services);
  await isRefused(await issuer.sign({ iat: now() - 120 }), "too old", aged);
  await isRefused(await issuer.sign({ iat: undefined }), "too old", aged);
  await aged.close();
});

test("audience, issuer and required claims are compared exactly", async () => {
  await isRefused(await issuer.sign({ aud: "other" }), "audience");
  await isRefused(await issuer.sign({ aud: undefined }), "audience");
  await isRefused(await issuer.sign({ aud: ["other", "API"] }), "audience");
  await isRefused(await issuer.sign({ aud: [["api"]] }), "audience");
  assert.equal((await ask(await issuer.sign({ aud: ["other", "api"] }))).status, 200);
  await isRefused(await issuer.sign({ iss: `${issuer.url}/` }), "no issuer claims it");
  await isRefused(await issuer.sign({ iss: undefined }), "no issuer claims it");
  const verified = await makeRoute(optionsFor({ requiredClaims: { email_verified: true } }), services);
  for (const value of ["true", 1, false, undefined]) {
    await isRefused(await issuer.sign({ email_verified: value }), "claim email_verified", verified);
  }
  assert.equal((await verified.ask(withBearer(await issuer.sign({ email_verified: true })))).status, 200);
  await verified.close();
});

test("crit, b64, other kinds of tokens and keys of odd types are refused", async () => {
  const claims = { iss: issuer.url, sub: "u1", aud: "api", exp: now() + 60 };
  await isRefused(compact({ alg: "ES256", crit: ["exp"], exp: 1 }, claims), "crit");
  await isRefused(compact({ alg: "ES256", crit: [] }, claims), "crit");
  await isRefused(compact({ alg: "ES256", b64: false }, claims), "crit");
  await isRefused(compact({ alg: "ES256", kid: 7 }, claims), "kid");
  for (const typ of ["logout+jwt", "secevent+jwt", "dpop+jwt", 7]) {
    await isRefused(compact({ alg: "ES256", typ }, claims), "typ");
  }
  for (const typ of ["at+jwt", "application/at+jwt", "jwt", undefined]) {
    assert.equal((await ask(await issuer.sign({}, { header: { typ } }))).status, 200, String(typ));
  }
});

test("an issuer of the access token profile (RFC 9068) gets nothing else in", async () => {
  const strict = await makeRoute(optionsFor({ profile: "rfc9068" }), services);
  const complete = { client_id: "c1", jti: "t1", iat: now() };
  const header = { typ: "at+jwt" };
  const good = await strict.ask(withBearer(await issuer.sign(complete, { header })));
  assert.equal(good.status, 200, good.because ?? "taken");
  const long = await issuer.sign(complete, { header: { typ: "application/AT+JWT" } });
  assert.equal((await strict.ask(withBearer(long))).status, 200);
  for (const typ of ["JWT", undefined])
    await isRefused(await issuer.sign(complete, { header: { typ } }), "typ", strict);
  for (const [name, value] of [
    ["client_id", undefined],
    ["client_id", 7],
    ["jti", undefined],
    ["jti", ""],
    ["sub", undefined],
    ["iat", undefined],
  ] as const)
    await isRefused(await issuer.sign({ ...complete, [name]: value }, { header }), `claim ${name}`, strict);
  await strict.close();
  await assert.rejects(
    async () => makeRoute(optionsFor({ profile: "rfc9068", audience: [] }), services),
    /audience/,
  );
});

test("claims of the wrong type are refused and not converted", async () => {
  for (const sub of [7, null, "", ["u1"], { a: 1 }, "u1\r\nX-User-Plan: pro", "x".repeat(300)]) {
    await isRefused(await issuer.sign({ sub: sub as string }), "claim sub");
  }
  await isRefused(await issuer.sign({ scope: 7 }), "claim scope");
  await isRefused(await issuer.sign({ scope: ["a", 7] }), "claim scope");
  await isRefused(await issuer.sign({ roles: { admin: true } }), "claim roles");
  await isRefused(await issuer.sign({ plan: ["pro"] }), "claim plan");
});

test("malformed tokens are refused at once: huge, many parts, no JSON, doubled members, bad UTF-8", async () => {
  const good = await issuer.sign();
  const [header, payload, signature] = good.split(".") as [string, string, string];
  const claims = `"iss":"${issuer.url}","aud":"api","exp":${now() + 60}`;
  const bad = {
    huge: "a".repeat(1_000_000),
    "huge and well-formed": `${header}.${"a".repeat(100_000)}.${signature}`,
    "100 parts": Array.from({ length: 100 }, () => "abc").join("."),
    "two parts": `${header}.${payload}`,
    "signature stripped": `${header}.${payload}.`,
    "one part": header,
    empty: "",
    "not base64url": `${header}.${payload}.@@@@`,
    comma: `${good}, Bearer ${good}`,
    "no JSON": compact("hello", "world"),
    array: compact([], []),
    null: compact(null, null),
    "doubled sub": compact({ alg: "ES256" }, `{${claims},"sub":"u1","sub":"admin"}`),
    "doubled alg": compact('{"alg":"none","alg":"ES256"}', `{${claims},"sub":"u1"}`),
    "doubled by escape": compact({ alg: "ES256" }, `{${claims},"sub":"u1","s\\u0075b":"admin"}`),
    "doubled deep down": compact({ alg: "ES256" }, `{${claims},"sub":"u1","a":[{"b":{"c":1,"c":2}}]}`),
    "bad UTF-8": `${header}.${Buffer.from('{"sub":"\xff"}', "latin1").toString("base64url")}.${signature}`,
  };
  for (const [name, token] of Object.entries(bad)) {
    const answer = await ask(token);
    assert.equal(answer.status, 401, name);
    assert.ok(answer.plainly, name);
  }
});

test("a changed payload, a foreign signature and a truncated one are refused", async () => {
  const [header, payload, signature] = (await issuer.sign()).split(".") as [string, string, string];
  const other = (await issuer.sign({ sub: "admin" })).split(".")[1] as string;
  await isRefused(`${header}.${other}.${signature}`, "signature");
  await isRefused(`${header}.${payload}.${signature.slice(0, -4)}`, "signature");
  await isRefused(`${header}.${payload}.${"A".repeat(signature.length)}`, "signature");
});

test("a token verified before is answered plainly, and never past its end", async () => {
  const token = await issuer.sign({ exp: now() + 30 });
  assert.equal((await ask(token)).plainly, false);
  const again = await ask(token);
  assert.deepEqual([again.status, again.plainly], [200, true]);
  services.clock.forward(36_000);
  try {
    await isRefused(token, "expired");
  } finally {
    services.clock.aheadMs = 0;
  }
});

test("a bad signature seen before is refused plainly", async () => {
  const [header, payload] = (await issuer.sign()).split(".") as [string, string];
  const other = (await issuer.sign({ sub: "x" })).split(".")[2] as string;
  const forged = `${header}.${payload}.${other}`;
  assert.equal((await ask(forged)).plainly, false);
  assert.deepEqual([(await ask(forged)).status, (await ask(forged)).plainly], [401, true]);
});

test("what a policy changes about an issuer, no verdict from before survives", async () => {
  const token = await issuer.sign({ aud: "api" });
  const before = await makeRoute(optionsFor(), services);
  assert.equal((await before.ask(withBearer(token))).status, 200);
  const stricter = await makeRoute(optionsFor({ audience: ["billing"] }), services, before.state);
  await isRefused(token, "audience", stricter);
  const same = await makeRoute(optionsFor(), services, before.state);
  assert.ok((await same.ask(withBearer(token))).plainly, "the same options keep what is known");
  for (const each of [before, stricter, same]) await each.close();
  assert.equal(before.state.tokens.size + before.state.sources.size, 0);
});

test("each kind of credential must be good when both are shown", async () => {
  const sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const apiKeys = { keys: [{ sha256, id: "k1", userId: "key-user" }] };
  const both = await makeRoute({ ...optionsFor(), apiKeys }, services);
  const good = await issuer.sign();
  const ask = async (token: string, key: string): Promise<Answer> =>
    await both.ask({ fields: ["Authorization", `Bearer ${token}`, "X-Api-Key", key] });
  assert.equal((await ask(good, "abc")).identity?.userId, "u1");
  assert.equal((await ask(good, "wrong")).error, "Invalid API key");
  assert.equal((await ask("wrong", "abc")).error, "Invalid or expired token");
  await both.close();
});

test("a bad credential is 401 even where none is required, and nobody else is anonymous", async () => {
  const open = await makeRoute({ ...optionsFor(), required: false }, services);
  assert.deepEqual([(await open.ask()).status, (await open.ask()).identity], [200, undefined]);
  assert.equal((await open.ask(withBearer("wrong"))).status, 401);
  assert.equal((await open.ask({ fields: ["X-Api-Key", "wrong"] })).status, 401);
  assert.equal((await open.ask({ fields: ["Authorization", "Basic eDp5"] })).status, 200);
  await open.close();
});

test("a bearer token is refused where no issuer is configured", async () => {
  const none = await makeRoute({ required: false }, services);
  assert.equal((await none.ask(withBearer(await issuer.sign()))).error, "Invalid or expired token");
});

test("excluded paths are whole segments of the path alone, and get no credential unless told", async () => {
  const open = await makeRoute(
    {
      exclude: [
        "/health",
        "/public/*",
        { path: "/hook", methods: ["POST"] },
        { path: "/own/*", forwardCredentials: true },
      ],
    },
    services,
  );
  const status = async (path: string, query = "", method = "GET"): Promise<number> =>
    (await open.ask({ path, query, method })).status;
  for (const path of ["/health", "/public", "/public/", "/public/a/b"])
    assert.equal(await status(path), 200, path);
  for (const path of ["/health/", "/healthz", "/publicity", "/x/public/a", "/"])
    assert.equal(await status(path), 401, path);
  assert.equal(await status("/admin", "?x=/public/a"), 401);
  assert.equal(await status("/hook", "", "POST"), 200);
  assert.equal(await status("/hook"), 401);
  const fields = ["Authorization", "Bearer of-the-service"];
  assert.equal((await open.ask({ path: "/public/a", fields })).fields.has("authorization"), false);
  const own = await open.ask({ path: "/own/a", fields });
  assert.equal(own.fields.get("authorization"), "Bearer of-the-service");
});

const byOurselves = (name: string): object => ({ jwt: { issuers: [{ issuer: "me", secret: name }] } });
const signWith = (secret: string): Promise<string> =>
  new SignJWT({ sub: "u1" })
    .setProtectedHeader({ alg: "HS256" })
    .setIssuer("me")
    .setExpirationTime("1m")
    .sign(new TextEncoder().encode(secret));

test("HS256 with a secret: taken when pinned, refused when the secret is short or not there", async () => {
  const secret = "0123456789abcdef0123456789abcdef";
  const own = await makeServices({ secrets: { SECRET_JWT: secret, SECRET_SHORT: "short" } });
  const hs = await makeRoute(byOurselves("SECRET_JWT"), own);
  assert.equal((await hs.ask(withBearer(await signWith(secret)))).status, 200);
  assert.equal((await hs.ask(withBearer(await signWith("fedcba9876543210fedcba9876543210")))).status, 401);
  await assert.rejects(makeRoute(byOurselves("SECRET_SHORT"), own), /needs at least 32 bytes/);
  await assert.rejects(makeRoute(byOurselves("SECRET_NONE"), own), /OUTRIGGER_SECRET_NONE is not set/);
});

test("inline keys serve without any fetch, also several without key ids", async () => {
  const keys = [await makeSigningKey("a"), await makeSigningKey("b")];
  const jwks = { keys: keys.map(({ jwk }) => ({ ...jwk, kid: undefined })) };
  const inline = await makeRoute({ jwt: { issuers: [{ issuer: issuer.url, jwks }] } }, services);
  for (const key of keys) {
    const token = await issuer.sign({}, { key, header: { kid: undefined } });
    assert.equal((await inline.ask(withBearer(token))).status, 200);
  }
  const stranger = await issuer.sign({}, { key: await makeSigningKey("c"), header: { kid: undefined } });
  assert.equal((await inline.ask(withBearer(stranger))).status, 401);
  await inline.close();
});

test("RSA keys that are too small verify nothing", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "small", alg: "RS256" };
  const small = await makeRoute({ jwt: { issuers: [{ issuer: "me", jwks: { keys: [jwk] } }] } }, services);
  const unsigned = compact({ alg: "RS256", kid: "small" }, { iss: "me", sub: "u", exp: now() + 60 })
    .split(".")
    .slice(0, 2)
    .join(".");
  const { sign } = await import("node:crypto");
  const signature = sign("sha256", Buffer.from(unsigned), privateKey).toString("base64url");
  assert.equal((await small.ask(withBearer(`${unsigned}.${signature}`))).status, 401);
  await small.close();
});

test("an RSA key by which anybody could sign is passed over, and its neighbours are not", async (t) => {
  const jwk = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" });
  const good = await makeSigningKey("good");
  const withExponent = (e: string): object => ({ ...jwk, e, kid: "weak", alg: "RS256" });
  const unsigned = compact({ alg: "RS256", kid: "weak" }, { iss: "me", sub: "u", exp: now() + 60 })
    .split(".")
    .slice(0, 2)
    .join(".");
  // RFC 8017 section 9.2: with an exponent of 1 what is padded is its own signature.
  const digest = `3031300d060960864801650304020105000420${hash("sha256", unsigned)}`;
  const padded = Buffer.from(`0001${"ff".repeat(202)}00${digest}`, "hex");
  const forged = `${unsigned}.${padded.toString("base64url")}`;
  for (const e of ["AQ", "AAE", "Ag", "AA", ""]) {
    const jwks = { keys: [withExponent(e), good.jwk] };
    const made = await makeRoute({ guessing: false, jwt: { issuers: [{ issuer: "me", jwks }] } }, services);
    t.after(() => made.close());
    const answers = [
      await made.ask(withBearer(forged)),
      await made.ask(withBearer(await issuer.sign({ iss: "me" }, { key: good }))),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [401, 200],
      e,
    );
    const alone = { jwt: { issuers: [{ issuer: "me", jwks: { keys: [withExponent(e)] } }] } };
    await assert.rejects(makeRoute(alone, services), /holds no key that can be used/, e);
  }
  assert.ok(
    await makeRoute({ jwt: { issuers: [{ issuer: "me", jwks: { keys: [withExponent("Aw")] } }] } }, services),
  );
});

test("no more signatures than allowed are checked at a time, and too many waiting are 503", async (t) => {
  const narrow = await makeRoute(optionsFor({}, { maxVerifies: 1 }), services);
  t.after(() => narrow.close());
  const tokens = await Promise.all(Array.from({ length: 1_100 }, (_, i) => issuer.sign({ sub: `u${i}` })));
  // Nobody has waited too long, however long a busy machine takes.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const answers = await Promise.all(tokens.map((token) => narrow.ask(withBearer(token))));
  const count = (status: number): number => answers.filter((answer) => answer.status === status).length;
  assert.equal(count(200), 1_025);
  assert.equal(count(503), 75);
});

test("one token shown many times at once is verified once", async () => {
  const token = await issuer.sign({ sub: "crowd" });
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask(token)));
  assert.ok(answers.every(({ identity }) => identity === answers[0]?.identity && identity !== undefined));
});

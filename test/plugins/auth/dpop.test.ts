// Tokens that are bound to a key (RFC 9449): every check of section 4.3, replays, nonces, and no bypass by plain bearer
// tokens.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import type { Hooks } from "../../../src/plugin-api/contract.ts";
import { PublicTargets } from "../../../plugins/auth/dpop/public-targets.ts";
import { createSharedIds, Replays } from "../../../plugins/auth/replays.ts";
import { SeenIds } from "../../../plugins/auth/seen-ids.ts";
import { startRedis, type RedisServer } from "../../support/redis.ts";
import { startSidecar } from "../../support/sidecar.ts";
import { DpopClient, withProof, type ProofFacts } from "./dpop-client.ts";
import {
  exchangeFor,
  makeRoute,
  makeServices,
  withBearer,
  type Route,
  type TestServices,
} from "./harness.ts";
import { TokenIssuer } from "./token-issuer.ts";

let redis: RedisServer;
let issuer: TokenIssuer;
let services: TestServices;
let route: Route;
let client: DpopClient;
/** Bound to the client's key. */
let token: string;

const optionsFor = (dpop: string, more: object = {}, settings: object = {}): object => ({
  guessing: false,
  apiKeys: false,
  jwt: {
    issuers: [{ issuer: issuer.url, jwksUri: issuer.jwksUri, audience: ["api"], dpop, ...more }],
    dpop: settings,
  },
});
const storeKeys = randomBytes(32).toString("base64url");

before(async () => {
  redis = await startRedis();
  issuer = await TokenIssuer.start();
  client = await DpopClient.create();
  token = await issuer.sign({ cnf: { jkt: client.jkt }, scope: "read" });
  services = await makeServices({ redisUrl: redis.url, storeKeys });
  route = await makeRoute(optionsFor("accept"), services);
});
after(async () => {
  await route.close();
  issuer.close();
  services.close();
  await redis.close();
});

const ask = async (facts: ProofFacts = {}, on = route) =>
  await on.ask({ fields: withProof(token, await client.prove({ token, ...facts })) });

test("a bound token is taken with a proof by its key, in every algorithm, and neither goes on to the service", async () => {
  for (const alg of ["ES256", "PS256", "RS256", "EdDSA"]) {
    const other = await DpopClient.create(alg);
    const bound = await issuer.sign({ cnf: { jkt: other.jkt } });
    for (const scheme of ["DPoP", "dpop"]) {
      const proof = await other.prove({ token: bound });
      const answer = await route.ask({ fields: ["Authorization", `${scheme} ${bound}`, "DPoP", proof] });
      assert.equal(answer.status, 200, `${alg} ${String(answer.because)}`);
      assert.equal(answer.identity?.userId, "u1");
      assert.deepEqual(answer.fields.toFlat(), []);
    }
  }
});

test("every step of section 4.3 refuses what does not fit", async () => {
  const mallory = await DpopClient.create();
  const seconds = Math.floor(Date.now() / 1000);
  const { d: _, ...rest } = client.jwk as Record<string, unknown>;
  const wrong: [string, ProofFacts][] = [
    ["typ", { header: { typ: "JWT" } }],
    ["typ", { header: { typ: undefined } }],
    ["jwk: not an object", { header: { jwk: undefined } }],
    ["jwk: private or secret members", { header: { jwk: { ...rest, d: "AAAA" } } }],
    ["crit", { header: { crit: ["b64"], b64: true } }],
    ["not by the key that the token is bound to", { header: { jwk: mallory.jwk }, key: mallory.key }],
    ["signature", { key: mallory.key }],
    ["htm", { htm: "POST" }],
    ["htm", { htm: "get" }],
    ["htu", { htu: "http://api.example/other" }],
    ["htu", { htu: "https://api.example/" }],
    ["htu", { htu: "http://other.example/" }],
    ["htu", { claims: { htu: 7 } }],
    ["jti", { claims: { jti: undefined } }],
    ["jti", { claims: { jti: "x".repeat(257) } }],
    ["iat", { claims: { iat: undefined } }],
    ["iat", { claims: { iat: String(seconds) } }],
    ["iat: too old", { claims: { iat: seconds - 67 } }],
    ["iat: made in the future", { claims: { iat: seconds + 10 } }],
    ["ath", { claims: { ath: undefined } }],
    ["ath", { token: "another" }],
  ];
  for (const [because, facts] of wrong) {
    const answer = await ask(facts);
    assert.equal(answer.status, 401, because);
    assert.equal(answer.because, `dpop proof: ${because}`);
    assert.deepEqual(answer.answerFields.getAll("www-authenticate"), [
      'DPoP realm="outrigger", error="invalid_dpop_proof", algs="ES256 EdDSA Ed25519 PS256 RS256"',
      'Bearer realm="outrigger"',
    ]);
  }
});

test("other algorithms, several proofs, none, and keys that cost too much are refused", async () => {
  const proof = await client.prove({ token });
  const because = async (fields: string[]): Promise<string | undefined> =>
    (await route.ask({ fields })).because;
  assert.equal(await because(withProof(token)), "dpop proof: none");
  const twice = withProof(token, proof, await client.prove({ token }));
  assert.equal(await because(twice), "dpop proof: several");
  assert.equal(await because(withProof(token, `${proof}, ${proof}`)), "dpop proof: malformed");
  assert.equal(await because(withProof(token, "x".repeat(9_000))), "dpop proof: too long");
  const es384 = await DpopClient.create("ES384");
  const bound = await issuer.sign({ cnf: { jkt: es384.jkt } });
  assert.equal(await because(withProof(bound, await es384.prove({ token: bound }))), "dpop proof: alg");
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const costly = { kty: "RSA", n: "x".repeat(684), e: "AQAB" };
  for (const jwk of [costly, { ...costly, n: "x".repeat(342), e: "x".repeat(342) }]) {
    const text = `${part({ typ: "dpop+jwt", alg: "RS256", jwk })}.${part({})}.AAAA`;
    assert.equal(await because(withProof(token, text)), "dpop proof: jwk: too large");
  }
  const unsigned = `${part({ typ: "dpop+jwt", alg: "none", jwk: client.jwk })}.${part({})}.AAAA`;
  assert.equal(await because(withProof(token, unsigned)), "dpop proof: alg");
});

test("a bound token is no bearer, and a token that is bound to nothing comes by no DPoP", async () => {
  const proof = await client.prove({ token });
  const asBearer = await route.ask({ fields: ["Authorization", `Bearer ${token}`, "DPoP", proof] });
  assert.deepEqual(
    [asBearer.status, asBearer.because],
    [401, "token: bound to a key (cnf jkt), and shown without DPoP"],
  );
  assert.match(asBearer.answerFields.getAll("www-authenticate")[0] ?? "", /^DPoP .*error="invalid_token"/);
  const plain = await issuer.sign();
  assert.equal((await route.ask(withBearer(plain))).status, 200);
  const shown = await route.ask({ fields: withProof(plain, await client.prove({ token: plain })) });
  assert.equal(shown.because, "token: shown with DPoP, and bound to no key (cnf jkt)");
  const both = await issuer.sign({ cnf: { jkt: client.jkt, "x5t#S256": "x" } });
  const half = await route.ask({ fields: withProof(both, await client.prove({ token: both })) });
  assert.equal(half.because, "token: bound to another client certificate (cnf x5t#S256)");
});

test("`required` takes no other tokens and asks for no bearer; `off` leaves the scheme to the service", async () => {
  const strict = await makeRoute(optionsFor("required"), services);
  assert.equal(
    (await strict.ask(withBearer(await issuer.sign()))).because?.startsWith("token: bound to no key"),
    true,
  );
  assert.equal((await ask({}, strict)).status, 200);
  const challenges = (await strict.ask()).answerFields.getAll("www-authenticate");
  assert.deepEqual(challenges, ['DPoP realm="outrigger", algs="ES256 EdDSA Ed25519 PS256 RS256"']);
  const off = await makeRoute({ ...optionsFor("off"), required: false }, services);
  const passed = await off.ask({ fields: withProof("x", "y") });
  assert.deepEqual([passed.status, passed.fields.size], [200, 2]);
  assert.equal((await off.ask(withBearer(token))).status, 401);
});

describe("a proof counts once", () => {
  test("at any sidecar of the service", async () => {
    const fields = withProof(token, await client.prove({ token }));
    const other = await makeServices({ redisUrl: redis.url, instance: "orders-2" });
    const elsewhere = await makeRoute(optionsFor("accept"), other);
    assert.equal((await route.ask({ fields })).status, 200);
    for (const each of [route, elsewhere]) {
      const again = await each.ask({ fields });
      assert.deepEqual([again.status, again.because], [401, "dpop proof: seen before (jti)"]);
    }
    await elsewhere.close();
    other.close();
  });

  test("and without Redis here: 503, or by this process's memory", async () => {
    const lost = await makeServices({ redisUrl: redis.url });
    lost.store?.close();
    const deny = await makeRoute(optionsFor("accept"), lost);
    const fields = withProof(token, await client.prove({ token }));
    for (let i = 0; i < 2; i += 1)
      assert.equal((await deny.ask({ fields })).status, 503, "never a wrong 401");
    const local = await makeRoute(optionsFor("accept", {}, { onStoreError: "local" }), lost);
    assert.deepEqual(
      [(await local.ask({ fields })).status, (await local.ask({ fields })).status],
      [200, 401],
    );
  });

  test("in bounded memory that forgets nothing before its end, shared by workers", async () => {
    const { clock, services: own } = await makeServices();
    const ids = new SeenIds(() => clock.mono(), 3);
    for (const [id, ms] of [
      ["long", 10_000],
      ["short", 1_000],
      ["middle", 2_000],
    ] as const)
      assert.equal(ids.see(id, ms), "first");
    assert.deepEqual([ids.see("short", 1_000), ids.see("more", 1_000)], ["again", "full"]);
    clock.forward(1_500);
    assert.deepEqual([ids.see("more", 1_000), ids.size], ["first", 3], "behind one that lives longer");
    clock.forward(9_000);
    assert.equal(ids.see("long", 1_000), "first");
    for (let i = 0; i < 9; i += 1) ids.see("long", 1_000);
    clock.forward(2_000);
    for (let i = 0; i < 9; i += 1) ids.see(`long ${i}`, 0);
    assert.ok(ids.size <= 2, `${ids.size}, wherever they were`);
    const few = new SeenIds(() => clock.mono(), 4);
    const shown = ["aa1", "aa2", "aa3", "bb1", "aa1", "bb2", "cc1"].map((id) => few.see(id, 1_000));
    assert.deepEqual(
      shown,
      ["first", "first", "full", "first", "again", "first", "full"],
      "no one fills it all",
    );
    const shared = createSharedIds(clock);
    const worker = () => new Replays({ ...own, workers: { call: async (asked) => shared(asked) } });
    const show = (replays: Replays) => replays.show(["dpop", "x"], "y", 1_000, "deny");
    assert.deepEqual([await show(worker()), await show(worker())], ["first", "again"]);
    const cutOff = new Replays({ ...own, workers: { call: () => Promise.reject(new Error("gone")) } });
    assert.equal(await show(cutOff), "unknown");
  });

  test("but what goes on is not asked for a new one", async () => {
    const judged = async (hooks: Hooks, fields: string[]): Promise<number> => {
      const verdict = await hooks.recheck?.(exchangeFor({ fields }, hooks));
      return verdict?.action === "reject" ? verdict.error.kind.status : 200;
    };
    const fields = withProof(token, await client.prove({ token, claims: { iat: 1 } }));
    assert.equal(await judged(route.hooks, fields), 200);
    assert.equal(await judged(route.hooks, withProof(token, "x")), 401);
    assert.equal(await judged(route.hooks, ["Authorization", `Bearer ${token}`]), 401);
  });
});

test("a nonce is asked for, handed out, renewed in time and refused when it is over", async () => {
  const own = await makeServices({ storeKeys });
  const nonced = await makeRoute(optionsFor("accept", {}, { nonce: true, maxAgeSeconds: 3600 }), own);
  const first = await ask({}, nonced);
  assert.match(first.answerFields.get("www-authenticate") ?? "", /error="use_dpop_nonce"/);
  const nonce = first.answerFields.get("dpop-nonce") ?? "";
  const used = (more = nonce) => ask({ claims: { nonce: more } }, nonced);
  assert.equal((await used()).status, 200);
  assert.equal((await used(`${nonce.slice(0, -4)}AAAA`)).answerFields.get("dpop-nonce"), nonce);
  own.clock.forward(150_000);
  const renewed = await used();
  assert.equal(renewed.status, 200);
  assert.notEqual(renewed.answerFields.get("dpop-nonce") ?? nonce, nonce);
  own.clock.forward(150_000);
  assert.equal((await used()).because, "dpop proof: nonce");
  await assert.rejects(
    makeRoute(optionsFor("accept", {}, { nonce: true }), await makeServices()),
    /OUTRIGGER_STORE_KEYS/,
  );
});

test("htu is compared as RFC 3986 normalises it, and with where a proxy is reached", () => {
  const request = exchangeFor({ path: "/a-b/c" }).request;
  const own = new PublicTargets([]);
  const behind = new PublicTargets(["https://API.example:443/base/"]);
  for (const htu of ["/a-b/c", "/a%2Db/c", "/x/../a-b/./c", "/a-b/c?q#f"])
    assert.ok(own.holds(`HTTP://API.EXAMPLE:80${htu}`, request), htu);
  assert.ok(behind.holds("https://api.example/base/a-b/c", request));
  const others = [
    "https://api.example/a-b/c",
    "http://api.example/base/a-b/c",
    "https://api.example/base/../a-b/c",
  ];
  for (const htu of others) assert.ok(!behind.holds(htu, request), htu);
  for (const htu of [
    "http:\\\\api.example/a-b/c",
    "http://u@api.example/a-b/c",
    " http://api.example/a-b/c",
    "/a-b/c",
  ])
    assert.ok(!own.holds(htu, request), htu);
  // However a client escapes the same path, and whichever letter differs.
  const letters = fc.array(fc.tuple(fc.constantFrom("a", "b", "~", "-", ".", "_", "z", "9"), fc.boolean()), {
    minLength: 1,
    maxLength: 12,
  });
  const escaped = (letter: string): string => `%${letter.charCodeAt(0).toString(16)}`;
  fc.assert(
    fc.property(letters, fc.nat(), (parts, place) => {
      const path = `/x${parts.map(([letter]) => letter).join("")}`;
      const htu = `http://api.example/x${parts.map(([letter, hidden]) => (hidden ? escaped(letter) : letter)).join("")}`;
      const at = 1 + (place % (path.length - 1));
      const other = `${path.slice(0, at)}Q${path.slice(at + 1)}`;
      return own.holds(htu, { ...request, path }) && !own.holds(htu, { ...request, path: other });
    }),
    { numRuns: 50 },
  );
});

test("introspection answers of bound tokens are held to the same", async (context) => {
  const { createServer } = await import("node:http");
  const server = createServer((_request, response) => {
    response.end(JSON.stringify({ active: true, sub: "u9", token_type: "DPoP", cnf: { jkt: client.jkt } }));
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  context.after(() => server.close());
  const { port } = server.address() as { port: number };
  const own = await makeServices({ secrets: { SECRET_IDP: "secret" } });
  const endpoint = `http://127.0.0.1:${port}/`;
  const introspection = { endpoint, clientId: "c", clientSecret: "SECRET_IDP", dpop: "required" };
  const opaque = await makeRoute({ guessing: false, jwt: { introspection } }, own);
  const proof = await client.prove({ token: "opaque" });
  const answer = await opaque.ask({ fields: withProof("opaque", proof) });
  assert.equal(answer.identity?.userId, "u9", String(answer.because));
  assert.equal((await opaque.ask(withBearer("opaque"))).status, 401);
});

test("behind a proxy that ends TLS, the URL is the one that the client asked for", async (context) => {
  const sidecar = await startSidecar({
    policy: { plugins: ["auth", "transform"], pluginConfig: { auth: optionsFor("required") } },
    upstream: (request, response) => response.end(JSON.stringify(request.headers)),
    env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1" },
  });
  context.after(() => sidecar.stop());
  const asked = async (htu: string, proto: string): Promise<[number, string]> => {
    const proof = await client.prove({ token, htu });
    const headers = { authorization: `DPoP ${token}`, dpop: proof, "x-forwarded-proto": proto };
    const response = await fetch(`${sidecar.url}/x%2dy?q=1`, { headers });
    return [response.status, await response.text()];
  };
  const host = new URL(sidecar.url).host;
  const [status, body] = await asked(`https://${host}/x-y`, "https");
  assert.equal(status, 200, body);
  assert.doesNotMatch(body, /dpop|authorization/i);
  assert.equal((await asked(`http://${host}/x-y`, "https"))[0], 401);
});

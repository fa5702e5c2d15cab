// Signed requests (RFC 9421): the RFC's own vectors, what a signature must cover, replays, digests, and malformed ones
// that are refused.
import assert from "node:assert/strict";
import { generateKeyPairSync, hash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { parseDictionary, type InnerList } from "structured-headers";
import type { Hooks } from "../../../src/plugin-api/contract.ts";
import { signatureBase } from "../../../plugins/auth/signatures/signature-base.ts";
import { eventually, startRedis, type RedisServer } from "../../support/redis.ts";
import { startSidecar } from "../../support/sidecar.ts";
import {
  exchangeFor,
  makeRoute,
  makeServices,
  series,
  withKey,
  type Answer,
  type Ask,
  type Route,
  type TestServices,
} from "./harness.ts";
import { RequestSigner, type ToSign } from "./request-signer.ts";

// RFC 9421 appendix B.1 and B.2.
const rsaPss = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----`;
const ed25519 = JSON.stringify({
  kty: "OKP",
  crv: "Ed25519",
  x: "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs",
});
const sharedSecret =
  "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
const madeAt = 1_618_884_473_000;
const rfcBody = '{"hello": "world"}';
const rfcRequest = {
  method: "POST",
  path: "/foo",
  query: "?param=Value&Pet=dog",
  host: "example.com",
  scheme: "https",
  body: rfcBody,
} as const;
const rfcFields = [
  "Date",
  "Tue, 20 Apr 2021 02:07:55 GMT",
  "Content-Type",
  "application/json",
  "Content-Digest",
  "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
  "Content-Length",
  "18",
];
const vectors: Record<string, { input: string; signature: string }> = {
  b21: {
    input: '();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"',
    signature:
      "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==",
  },
  b22: {
    input:
      '("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"',
    signature:
      "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==",
  },
  b23: {
    input:
      '("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"',
    signature:
      "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
  },
  b25: {
    input: '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
    signature: "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
  },
  b26: {
    input:
      '("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
    signature: "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
  },
};
const rfcKeys = [
  { keyId: "test-key-rsa-pss", algorithm: "rsa-pss-sha512", publicKey: rsaPss, userId: "m1" },
  { keyId: "test-key-ed25519", algorithm: "ed25519", publicKey: ed25519, userId: "m2" },
  {
    keyId: "test-shared-secret",
    algorithm: "hmac-sha256",
    secret: "SECRET_RFC",
    secretEncoding: "base64",
    userId: "m3",
  },
];

const secret = "0123456789abcdef0123456789abcdef";
const signer = new RequestSigner("batch", secret);
const own = {
  keyId: "batch",
  algorithm: "hmac-sha256",
  secret: "SECRET_BATCH",
  userId: "batch",
  scopes: ["read"],
};
const optionsFor = (signatures: object = {}, more: object = {}): object => ({
  guessing: false,
  apiKeys: false,
  signatures: { keys: [own], ...signatures },
  ...more,
});

let redis: RedisServer;
let services: TestServices;
let route: Route;

before(async () => {
  redis = await startRedis();
  services = await makeServices({
    redisUrl: redis.url,
    secrets: { SECRET_RFC: sharedSecret, SECRET_BATCH: secret },
  });
  route = await makeRoute(optionsFor(), services);
});
after(async () => {
  await route.close();
  services.close();
  await redis.close();
});

const covered = [
  ['"@method"', "GET"],
  ['"@authority"', "api.example"],
  ['"@target-uri"', "http://api.example/a?b=1"],
] as const;
const signedAsk = (toSign: Partial<ToSign> = {}, more: Ask = {}): Ask => ({
  path: "/a",
  query: "?b=1",
  ...more,
  fields: [...signer.fields({ covered, ...toSign }), ...(more.fields ?? [])],
});
const ask = (toSign: Partial<ToSign> = {}, more: Ask = {}, on = route): Promise<Answer> =>
  on.ask(signedAsk(toSign, more));

describe("the vectors of RFC 9421 appendix B.2", () => {
  test("verify with their keys, and not once a letter is another", async () => {
    const lenient = {
      keys: rfcKeys,
      components: ["@authority"],
      contentDigest: "optional",
      nonce: "optional",
    };
    const strict = await makeRoute(optionsFor(lenient), services);
    services.clock.aheadMs = madeAt - Date.now();
    try {
      for (const [name, { input, signature }] of Object.entries(vectors)) {
        const fields = ["Signature-Input", `x=${input}`, "Signature", `x=:${signature}:`, ...rfcFields];
        const answer = await strict.ask({ ...rfcRequest, fields });
        if (name === "b21") {
          assert.equal(answer.because, "signature: does not cover @authority");
          continue;
        }
        assert.equal(answer.status, 200, `${name}: ${String(answer.because)}`);
        const other = fields.map((value) => (value === "application/json" ? "text/plain" : value));
        const changed = await strict.ask({ ...rfcRequest, host: "example.org", fields: other });
        assert.equal(changed.because, "signature: does not verify", name);
      }
    } finally {
      services.clock.aheadMs = 0;
      await strict.close();
    }
  });

  test("B.2.1 covers nothing, and its base is one line", () => {
    const input = parseDictionary(`x=${vectors["b21"]?.input}`).get("x") as InnerList;
    const base = signatureBase(exchangeFor(rfcRequest).request, input);
    assert.equal(base, `"@signature-params": ${vectors["b21"]?.input}`);
  });

  test("query parameters are written as section 2.2.8 has them", () => {
    const query =
      "?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something";
    const names = ["var", "bar", "fa%C3%A7ade%22%3A%20"].map((name) => `"@query-param";name="${name}"`);
    const input = parseDictionary(`x=(${names.join(" ")})`).get("x") as InnerList;
    const values = ["this%20is%20a%20big%0Amultiline%20value", "with%20plus%20whitespace", "something"];
    const base = signatureBase(exchangeFor({ query }).request, input);
    assert.deepEqual(
      base.split("\n").slice(0, 3),
      names.map((name, i) => `${name}: ${values[i]}`),
    );
  });
});

test("a signed request has an identity, and its signature does not go on to the service", async () => {
  const answer = await ask();
  assert.equal(answer.status, 200, String(answer.because));
  const { userId, scopes, method, credentialId } = answer.identity ?? {};
  assert.deepEqual([userId, scopes, method, credentialId], ["batch", ["read"], "signature", "batch"]);
  assert.equal(answer.fields.size, 0);
  assert.ok(
    (await series(services.metrics, "outrigger_auth_total", { method: "signature", result: "allowed" })) > 0,
  );
});

test("what it does not cover, its times, its key and its form are looked at strictly", async () => {
  const seconds = Math.floor(Date.now() / 1000);
  const [method, authority, target] = covered;
  const wrong: [string, Partial<ToSign>, Ask?][] = [
    ["does not cover @method", { covered: [authority, target] }],
    ["does not cover @authority", { covered: [method, target] }],
    ["does not cover @target-uri", { covered: [method, authority, ['"@path"', "/a"]] }],
    ["does not verify", {}, { method: "DELETE" }],
    ["does not verify", {}, { path: "/other" }],
    ["does not verify", {}, { query: "" }],
    ["does not verify", {}, { host: "other.example" }],
    ["does not verify", {}, { host: "%61pi.example" }],
    ["does not verify", { parameters: { keyid: "batch", tag: "x" } }, { query: "?b=2" }],
    ["unknown keyid", { parameters: { keyid: "other" } }],
    ["unknown keyid", { parameters: { keyid: undefined } }],
    ["alg is not the key's", { parameters: { alg: "ed25519" } }],
    ["created", { parameters: { created: undefined } }],
    ["created", { parameters: { created: "1" } }],
    ["created in the future", { parameters: { created: seconds + 20 } }],
    ["too old", { parameters: { created: seconds - 400 } }],
    ["expired", { parameters: { expires: seconds - 20 } }],
    ["nonce", { parameters: { nonce: undefined } }],
    ["component @method: named twice", { covered: [...covered, method] }],
    ["component x-none: not in the request", { covered: [...covered, ['"x-none"', ""]] }],
    ["component @status: not known for requests", { covered: [...covered, ['"@status"', "200"]] }],
    ...(
      [
        ["not known as a structured field", ";sf", "1"],
        ["req is for responses", ";req", "1"],
        ["req is for responses", ";bs;req", ":MQ==:"],
        ["trailers are not signed here: they come too late", ";tr", "1"],
        ["parameters", ";sf;bs", "1"],
        ["parameters", ";sf=?0", "1"],
        ["parameters", ";key", "1"],
        ["parameters", ";other", "1"],
        ["no dictionary", ';key="a"', "1"],
      ] as const
    ).map(([because, parameters, value]): [string, Partial<ToSign>, Ask] => [
      `component x-a: ${because}`,
      { covered: [...covered, [`"x-a"${parameters}`, value]] },
      { fields: ["X-A", "1"] },
    ]),
    [
      "component priority: no dictionary",
      { covered: [...covered, ['"priority";sf', "u=1"]] },
      { fields: ["Priority", "u=1,"] },
    ],
    ["component @method: not known for requests", { covered: [...covered, ['"@method";req', "GET"]] }],
  ];
  for (const [because, toSign, more] of wrong) {
    const answer = await ask(toSign, more);
    assert.equal(answer.status, 401, because);
    assert.equal(answer.because?.toLowerCase(), `signature: ${because.toLowerCase()}`);
  }
  assert.deepEqual((await ask({ covered: [] })).answerFields.getAll("www-authenticate"), [
    'Signature realm="outrigger"',
  ]);
  const [, input = "", , signature = ""] = signer.fields({ covered });
  const oddities: [string, string[]][] = [
    ["none", ["Signature", signature]],
    ["malformed Signature or Signature-Input", ["Signature-Input", input]],
    ["malformed Signature or Signature-Input", ["Signature-Input", "sig=(", "Signature", signature]],
    ["malformed Signature or Signature-Input", ["Signature-Input", "sig=1", "Signature", signature]],
    ["malformed Signature or Signature-Input", ["Signature-Input", input, "Signature", "sig=text"]],
    ["several", ["Signature-Input", `${input}, two=();keyid="x"`, "Signature", signature]],
  ];
  for (const [because, fields] of oddities)
    assert.equal((await route.ask({ path: "/a", query: "?b=1", fields })).because, `signature: ${because}`);
});

test("members of dictionaries, raw lines and doubled fields are written as the RFC has them", async () => {
  const fields = ["X-D", "a=1, b=(x y);q", "X-D", "c=2", "X-L", " one ", "X-L", "two"];
  const more = [
    ['"x-d";key="b"', "(x y);q"],
    ['"x-l"', "one, two"],
    ['"x-l";bs', ":b25l:, :dHdv:"],
  ] as const;
  const answer = await ask({ covered: [...covered, ...more] }, { fields });
  assert.equal(answer.status, 200, String(answer.because));
  // A byte that is no blank in HTTP, though it is one in JavaScript: the service would see it.
  for (const value of ["a\u00a0", "\u00a0a"])
    for (const signed of [['"x-n"', "a"] as const, ['"x-n";bs', ":YQ==:"] as const])
      assert.equal(
        (await ask({ covered: [...covered, signed] }, { fields: ["X-N", value] })).status,
        401,
        JSON.stringify([value, signed]),
      );
  const bytes = { fields: ["X-N", " \u00a0 "] };
  assert.equal((await ask({ covered: [...covered, ['"x-n";bs', ":oA==:"]] }, bytes)).status, 200);
});

test("structured fields are signed as section 2.1 writes them strictly, by their types", async () => {
  const own = await makeRoute(
    optionsFor({ structuredFields: { "Example-Dict": "dictionary", "X-I": "item" } }),
    services,
  );
  const asked = async (covering: ToSign["covered"], fields: string[]): Promise<Answer> =>
    await own.ask(signedAsk({ covered: [...covered, ...covering] }, { fields }));
  // Sections 2.1.1, 2.1.2, 2.1.3.
  const dictionary = "a=1,    b=2;x=1;y=2,   c=(a   b   c)";
  const good = await asked(
    [
      ['"example-dict"', `${dictionary}, d`],
      ['"example-dict";sf', "a=1, b=2;x=1;y=2, c=(a b c), d"],
      ['"example-dict";key="a"', "1"],
      ['"example-dict";key="d"', "?1"],
      ['"example-dict";key="b"', "2;x=1;y=2"],
      ['"example-dict";key="c"', "(a b c)"],
      ['"example-header";bs', ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"],
      ['"priority";sf', "u=2, i"],
      ['"client-cert-chain";sf', ":AQI=:, :Aw==:"],
      ['"x-i";sf', "1.5;q"],
    ],
    [
      ["Example-Dict", `  ${dictionary}`, "Example-Dict", "d"],
      ["Example-Header", "value, with, lots", "Example-Header", "of, commas"],
      ["Priority", "u=2,i=?1", "Client-Cert-Chain", ":AQI=:,   :Aw==:", "X-I", "1.50;q=?1"],
    ].flat(),
  );
  assert.equal(good.status, 200, String(good.because));
  const decimals = await asked(
    [
      ['"x-i";sf', '-10.0;a=0.0;b=1;c="1.00, 2.00";d=%"1.00"'],
      ['"example-dict";sf', "a=2.0, b=(1.0 1 -0.5), c1.0, d=t1.00"],
      ['"example-dict";key="a"', "2.0"],
    ],
    [
      ["X-I", '-010.00;a=-0.0;b=1;c="1.00, 2.00";d=%"1.00"'],
      ["Example-Dict", "a=2.000,b=( 1.0  1 -0.50 ), c1.0,\td=t1.00"],
    ].flat(),
  );
  assert.equal(decimals.status, 200, String(decimals.because));
  const twice = await asked([['"x-i";sf', "1, 1"]], ["X-I", "1", "X-I", "1"]);
  assert.equal(twice.because, "signature: component x-i: no item");
  const other = await asked([['"x-i";sf', "2"]], ["X-I", "1"]);
  assert.equal(other.because, "signature: does not verify");
});

test("a nonce counts once, by any key and sidecar; an outage is 503", async () => {
  const once = signedAsk();
  const other = await makeServices({
    redisUrl: redis.url,
    secrets: { SECRET_BATCH: secret },
    instance: "orders-2",
  });
  const elsewhere = await makeRoute(optionsFor(), other);
  assert.equal((await route.ask(once)).status, 200);
  for (const each of [route, elsewhere])
    assert.equal((await each.ask(once)).because, "signature: seen before (nonce)");
  other.store?.close();
  const fresh = signedAsk();
  assert.deepEqual([(await elsewhere.ask(fresh)).status, (await elsewhere.ask(fresh)).status], [503, 503]);
  other.close();
  const judged = async (hooks: Hooks, asked: Ask): Promise<unknown> =>
    await hooks.recheck?.(exchangeFor(asked, hooks));
  assert.equal(await judged(route.hooks, once), undefined, "what goes on is not asked for a new one");
  assert.notEqual(await judged(route.hooks, { ...once, method: "PUT" }), undefined);
});

test("a request that was 503 as Redis was slow is taken when it comes again, once", async () => {
  const slow = await startRedis();
  const services = await makeServices({ redisUrl: slow.url, secrets: { SECRET_BATCH: secret } });
  const own = await makeRoute(optionsFor(), services);
  const signed = signedAsk();
  try {
    // Redis gets the nonce, but does not say so in time.
    slow.freeze();
    assert.equal((await own.ask(signed)).status, 503);
    slow.thaw();
    let answer = await own.ask(signed);
    await eventually("redis is back", async () => {
      if (answer.status === 503) answer = await own.ask(signed);
      return answer.status !== 503;
    });
    assert.deepEqual([answer.status, answer.because], [200, undefined]);
    assert.equal((await own.ask(signed)).because, "signature: seen before (nonce)");
  } finally {
    await own.close();
    services.close();
    await slow.close();
  }
});

test("a body is the one that was signed, or the service never sees it", async () => {
  const digest = `sha-256=:${hash("sha256", "body", "base64")}:`;
  const fields = ["Content-Digest", digest];
  const withDigest = { covered: [...covered, ['"content-digest"', digest] as const] };
  assert.equal((await ask(withDigest, { body: "body", fields })).status, 200);
  const other = await ask(withDigest, { body: "Body", fields });
  assert.equal(other.because, "signature: content-digest: sha-256 is of another body");
  assert.equal((await ask(withDigest, { fields })).status, 401, "without its body");
  assert.equal((await ask({}, { body: "body" })).because, "signature: does not cover content-digest");
  const raw = `:${Buffer.from(digest).toString("base64")}:`;
  const left = await makeRoute(optionsFor({ contentDigest: "optional" }), services);
  for (const [identifier, value] of [
    ['"content-digest";bs', raw],
    ['"content-digest";sf', digest],
    ['"content-digest";key="sha-256"', digest.slice(8)],
  ] as const) {
    const otherwise = { covered: [...covered, [identifier, value] as const] };
    for (const [body, status] of [
      ["body", 200],
      ["Body", 401],
    ] as const)
      assert.equal((await ask(otherwise, { body, fields }, left)).status, status, `${identifier} ${body}`);
    const isWhole = !identifier.includes("key");
    assert.equal((await ask(otherwise, { body: "body", fields })).status, isWhole ? 200 : 401, identifier);
  }
  const sha1 = ["Content-Digest", "sha=:AAAA:"];
  const broken = { covered: [...covered, ['"content-digest"', "sha=:AAAA:"] as const] };
  assert.match(
    (await ask(broken, { body: "body", fields: sha1 })).because ?? "",
    /neither sha-256 nor sha-512/,
  );
  const small = await makeRoute(optionsFor({ maxBodyBytes: 3 }), services);
  await assert.rejects(ask(withDigest, { body: "body", fields }, small), { code: "payload_too_large" });
});

test("a copy whose body comes slowly is as old as it was when it began", async () => {
  const digest = `sha-256=:${hash("sha256", "body", "base64")}:`;
  const covers = [...covered, ['"content-digest"', digest] as const];
  const fields = [...signer.fields({ covered: covers }), "Content-Digest", digest];
  const asked: Ask = { path: "/a", query: "?b=1", body: "body", fields };
  const slow = exchangeFor(asked, route.hooks);
  let read = false;
  Object.assign(slow, {
    readBody: () => {
      read = true;
      services.clock.forward(600_000);
      return Promise.resolve(Buffer.from("body"));
    },
  });
  assert.equal((await route.ask(asked)).status, 200);
  try {
    assert.notEqual(await route.hooks.onRequest?.(slow), undefined);
    assert.ok(!read, "nor is it read");
  } finally {
    services.clock.aheadMs = 0;
  }
});

test("a token beside it says who calls, and either must be good", async () => {
  const both = await makeRoute(
    optionsFor({}, { apiKeys: { keys: [{ sha256: hash("sha256", "good"), id: "k1", userId: "u1" }] } }),
    services,
  );
  const key = withKey("good").fields ?? [];
  assert.equal((await ask({}, { fields: key }, both)).identity?.userId, "u1");
  assert.equal((await ask({}, { fields: ["X-Api-Key", "bad"] }, both)).status, 401);
  assert.equal((await ask({ parameters: { keyid: "x" } }, { fields: key }, both)).status, 401);
  const tagged = await makeRoute(optionsFor({ tag: "ours" }), services);
  assert.equal(
    (await ask({ parameters: { tag: "theirs" } }, {}, tagged)).because,
    "signature: none with the tag",
  );
  assert.equal((await ask({ parameters: { tag: "ours" } }, {}, tagged)).status, 200);
});

test("keys that do not fit, are short, ended or missing are told of at once, without their text", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const pem = publicKey.export({ type: "spki", format: "pem" });
  const signed = new RequestSigner("ed", { key: privateKey });
  const key = { keyId: "ed", algorithm: "ed25519", publicKey: pem, userId: "m" };
  const good = await makeRoute(optionsFor({ keys: [key] }), services);
  assert.equal((await good.ask({ ...signedAsk(), fields: signed.fields({ covered }) })).status, 200);
  const curve = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  for (const [algorithm, pair, facts] of [
    ["ecdsa-p256-sha256", curve, { hash: "sha256", dsaEncoding: "ieee-p1363" }],
    ["rsa-v1_5-sha256", rsa, { hash: "sha256" }],
  ] as const) {
    const jwk = JSON.stringify(pair.publicKey.export({ format: "jwk" }));
    const made = await makeRoute(optionsFor({ keys: [{ ...key, algorithm, publicKey: jwk }] }), services);
    const fields = new RequestSigner("ed", { key: pair.privateKey, ...facts }).fields({ covered });
    assert.equal((await made.ask({ ...signedAsk(), fields })).status, 200, algorithm);
  }
  const because = async (more: object) =>
    (
      await (
        await makeRoute(optionsFor({ keys: [{ ...key, ...more }] }), services)
      ).ask({
        ...signedAsk(),
        fields: signed.fields({ covered }),
      })
    ).because;
  assert.equal(await because({ disabled: true }), "signature: key disabled");
  assert.equal(await because({ expiresAt: "2020-01-01T00:00:00Z" }), "signature: key expired");
  const secretPem = privateKey.export({ type: "pkcs8", format: "pem" });
  const forgeable = JSON.stringify({ ...rsa.publicKey.export({ format: "jwk" }), e: "AQ" });
  const wrong: object[] = [
    { ...key, algorithm: "rsa-v1_5-sha256", publicKey: forgeable },
    { ...key, algorithm: "rsa-pss-sha512" },
    { ...key, algorithm: "hmac-sha256" },
    { ...key, publicKey: secretPem },
    { ...key, publicKey: undefined },
    { ...own, secret: undefined },
    { ...own, publicKey: pem },
  ];
  for (const each of wrong)
    await assert.rejects(makeRoute(optionsFor({ keys: [each] }), services), /publicKey|secret/);
  for (const [text, more] of [
    ["short", {}],
    [`${secret}!`, { secretEncoding: "base64" }],
  ] as const) {
    const few = await makeServices({ secrets: { SECRET_BATCH: text } });
    await assert.rejects(makeRoute(optionsFor({ keys: [{ ...own, ...more }] }), few), (error: Error) => {
      return error.message.includes("OUTRIGGER_SECRET_BATCH") && !error.message.includes(text);
    });
  }
});

test("no text in the two fields does more than refuse", async () => {
  const [, input = "", , signature = ""] = signer.fields({ covered });
  const piece = fc.constantFrom(
    "sig=",
    "(",
    ")",
    '"@method"',
    ";",
    ",",
    ":",
    "AAAA",
    '"',
    "=1",
    "?1",
    " ",
    "x",
    "\\",
  );
  const odd = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((list) => list.join("")),
    fc.string({ maxLength: 20 }),
  );
  await fc.assert(
    fc.asyncProperty(odd, fc.boolean(), async (text, inInput) => {
      const fields = inInput
        ? ["Signature-Input", text, "Signature", signature]
        : ["Signature-Input", input, "Signature", text];
      return (await route.ask({ path: "/a", query: "?b=1", fields })).status === 401;
    }),
    { numRuns: 100 },
  );
});

test("on the wire: the body goes on as it was signed, and another one is refused", async (context) => {
  const sidecar = await startSidecar({
    policy: { plugins: ["auth", "transform"], pluginConfig: { auth: optionsFor() } },
    upstream: (request, response) => {
      request.pipe(response.writeHead(200, { "x-fields": Object.keys(request.headers).join() }));
    },
    env: { OUTRIGGER_SECRET_BATCH: secret },
  });
  context.after(() => sidecar.stop());
  const body = "x".repeat(100_000);
  const digest = `sha-256=:${hash("sha256", body, "base64")}:`;
  const post = async (text: string): Promise<Response> => {
    const fields = signer.fields({
      covered: [
        ['"@method"', "POST"],
        ['"@authority"', new URL(sidecar.url).host],
        ['"@path"', "/in"],
        ['"@query"', "?"],
        ['"content-digest"', digest],
      ],
    });
    const headers: Record<string, string> = { "content-digest": digest };
    for (let i = 0; i < fields.length; i += 2) headers[fields[i] ?? ""] = fields[i + 1] ?? "";
    return await fetch(`${sidecar.url}/in`, { method: "POST", headers, body: text });
  };
  const answer = await post(body);
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), body);
  assert.doesNotMatch(answer.headers.get("x-fields") ?? "", /signature/);
  assert.match(answer.headers.get("x-fields") ?? "", /content-digest/);
  assert.equal((await post(`${body.slice(1)}y`)).status, 401);
});

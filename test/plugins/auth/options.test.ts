// The options that a policy may give auth, and the error messages for wrong ones.
import assert from "node:assert/strict";
import { test } from "node:test";
import { authOptions } from "../../../plugins/auth/options.ts";

/** The example of the contract, to the letter. */
const contract = {
  required: true,
  exclude: ["/health", "/api/products/public/*"],
  apiKeys: {
    headers: ["x-api-key"],
    keys: [{ sha256: "0".repeat(64), id: "k1", userId: "u1", plan: "pro", scopes: ["read"] }],
    onStoreError: "deny",
  },
  jwt: {
    issuers: [
      {
        issuer: "https://id.example",
        jwksUri: "https://id.example/jwks",
        algorithms: ["RS256"],
        audience: ["api"],
        clockToleranceSeconds: 5,
        requiredClaims: { email_verified: true },
        claims: { userId: "sub", plan: "plan", scopes: "scope", roles: "roles" },
      },
    ],
  },
  rules: [
    {
      path: "/api/users/*",
      methods: ["DELETE"],
      allow: { scopes: { all: ["users:write"] }, roles: { any: ["admin"] } },
    },
  ],
};

test("the contract's example is taken as it stands", () => {
  const parsed = authOptions.parse(contract);
  assert.deepEqual(parsed.rules[0]?.allow, contract.rules[0]?.allow);
  assert.deepEqual(parsed.jwt?.issuers[0]?.requiredClaims, { email_verified: true });
});

test("nothing said means: a credential is required, and keys in Redis are taken", () => {
  const { required, apiKeys, jwt, rules } = authOptions.parse({});
  assert.deepEqual([required, apiKeys !== false, jwt, rules], [true, true, undefined, []]);
});

const issuer = { issuer: "https://id.example", jwksUri: "https://id.example/jwks" };
const login = { issuer: "https://id.example", clientId: "c", publicUrl: "https://app.example" };
const sameKey = { sha256: "0".repeat(64), id: "k1", userId: "u1" };
const wrong: [string, unknown][] = [
  ["jwt.login.loginPath", { jwt: { login: { ...login, loginPath: "/oauth2/callback" } } }],
  ["", { requierd: true }],
  ["required", { required: "yes" }],
  ["exclude.0", { exclude: ["health"] }],
  ["exclude.0", { exclude: ["/a*"] }],
  ["exclude.0", { exclude: ["/a/*/b"] }],
  ["exclude.0", { exclude: ["/a?b"] }],
  ["apiKeys", { apiKeys: { key: [] } }],
  ["apiKeys.keys.1.sha256", { apiKeys: { keys: [sameKey, { ...sameKey, disabled: true }] } }],
  ["apiKeys.headers.1", { apiKeys: { headers: ["x-key", "X_Key"] } }],
  ["apiKeys.headers.0", { apiKeys: { headers: ["cookie"] } }],
  ...["host", "Authorization", "Transfer_Encoding", "x-forwarded-for"].map((header): [string, unknown] => [
    "assertion.header",
    { assertion: { header } },
  ]),
  ["certificates.identities.0.id", { certificates: { identities: [{ id: "spiffe://a/*/b" }] } }],
  ["rules.0.allow.certificate.any.0", { rules: [{ allow: { certificate: { any: ["*.example"] } } }] }],
  ["jwt.from", { jwt: { from: [] } }],
  ["jwt.from", { jwt: { from: ["header", "header"] } }],
  ["jwt.from.0", { jwt: { from: ["query"] } }],
  ["jwt.from.0", { jwt: { from: ["query:a b"] } }],
  ["jwt.from.1", { jwt: { from: ["header", "body:token"] } }],
  ["jwt.issuers.0.issuer", { jwt: { issuers: [{ ...issuer, tenants: ["a"] }] } }],
  ["jwt.issuers.0.issuer", { jwt: { issuers: [{ ...issuer, issuer: "https://id.example/{tenant}" }] } }],
  ["jwt.issuers.0.jwksUri", { jwt: { issuers: [{ ...issuer, jwksUri: "https://id.example/{tenant}" }] } }],
  ["jwt.issuers.0.tenants.0", { jwt: { issuers: [{ ...issuer, issuer: "x{tenant}", tenants: ["a/b"] }] } }],
  [
    "jwt.issuers",
    {
      jwt: {
        issuers: [
          { ...issuer, issuer: "x{tenant}", tenants: ["a"] },
          { ...issuer, issuer: "xa" },
        ],
      },
    },
  ],
  ["apiKeys.keys.0.sha256", { apiKeys: { keys: [{ sha256: "ABC", id: "k", userId: "u" }] } }],
  [
    "apiKeys.keys.0.cidrs.0",
    { apiKeys: { keys: [{ ...contract.apiKeys.keys[0], cidrs: ["10.0.0.0/40"] }] } },
  ],
  ["jwt.issuers.0", { jwt: { issuers: [{ issuer: "x" }] } }],
  ["jwt.issuers.0", { jwt: { issuers: [{ ...issuer, discovery: true }] } }],
  ["jwt.issuers.0.jwksUri", { jwt: { issuers: [{ issuer: "x", jwksUri: "http://id.example/jwks" }] } }],
  ["jwt.issuers.0.jwksUri", { jwt: { issuers: [{ issuer: "x", jwksUri: "https://u:p@id.example/" }] } }],
  ["jwt.issuers.0.issuer", { jwt: { issuers: [{ issuer: "http://id.example", discovery: true }] } }],
  ["jwt.issuers.0.algorithms.0", { jwt: { issuers: [{ ...issuer, algorithms: ["none"] }] } }],
  ["jwt.issuers.0.algorithms.0", { jwt: { issuers: [{ ...issuer, algorithms: ["HS256"] }] } }],
  [
    "jwt.issuers.0.algorithms.1",
    { jwt: { issuers: [{ issuer: "x", secret: "SECRET_X", algorithms: ["HS256", "RS256"] }] } },
  ],
  ["jwt.issuers.0.algorithms", { jwt: { issuers: [{ ...issuer, algorithms: [] }] } }],
  ["jwt.issuers.0.jwks.keys", { jwt: { issuers: [{ issuer: "x", jwks: { keys: [] } }] } }],
  ["jwt.issuers.0.jwks.keys", { jwt: { issuers: [{ issuer: "x", jwks: { keys: [{ kty: "AKP" }] } }] } }],
  ["jwt.issuers.0.secret", { jwt: { issuers: [{ issuer: "x", secret: "ADMIN_TOKEN" }] } }],
  [
    "jwt.issuers.0.jwks.keys.0",
    { jwt: { issuers: [{ issuer: "x", jwks: { keys: [{ kty: "EC", d: "AA" }] } }] } },
  ],
  [
    "jwt.issuers.0.jwks.keys.0",
    { jwt: { issuers: [{ issuer: "x", jwks: { keys: [{ kty: "oct", k: "AA" }] } }] } },
  ],
  ["jwt.issuers", { jwt: { issuers: [issuer, issuer] } }],
  ["jwt.login.publicUrl", { jwt: { login: { ...login, publicUrl: "http://app.example" } } }],
  ["jwt.login.cookieName", { jwt: { login: { ...login, secureCookie: false } } }],
  ["jwt.login.scopes", { jwt: { login: { ...login, scopes: ["email"] } } }],
  ["jwt.login.afterLogout", { jwt: { login: { ...login, afterLogout: "//evil.example" } } }],
  ["rules.0", { rules: [{}] }],
  ["rules.0", { rules: [{ allow: {}, deny: {} }] }],
  ["rules.0.allow.scopes", { rules: [{ allow: { scopes: {} } }] }],
  ["rules.0.allow.claims.a", { rules: [{ allow: { claims: { a: { equals: 1, prefix: "x" } } } }] }],
  ["rules.0.methods.0", { rules: [{ methods: ["get"], allow: {} }] }],
  ["rules.0.deny.client.cidrs.0", { rules: [{ deny: { client: { cidrs: ["everywhere"] } } }] }],
  ["certificates.identities", { certificates: {} }],
  ["guessing.failures", { guessing: { failures: 0 } }],
  ["realm", { realm: 'a"b' }],
];
test("what is wrong is refused, with its path", () => {
  for (const [path, options] of wrong) {
    const issues = authOptions.safeParse(options).error?.issues ?? [];
    assert.ok(
      issues.some((issue) => issue.path.join(".") === path),
      `${JSON.stringify(options)}: ${JSON.stringify(issues.map((issue) => issue.path.join(".")))}`,
    );
  }
});

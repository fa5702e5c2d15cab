// Other gateways' configurations imported as policies: the result is valid, nothing guarded becomes open, and
// everything not imported is reported.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import { pluginsByName } from "../../../../src/app/registry.ts";
import { importText } from "../../../../src/plane/import/import.ts";
import { ImportError, type Imported } from "../../../../src/plane/import/imported.ts";
import { createPolicyReader } from "../../../../src/policy/read.ts";
import { parseHostPatterns } from "../../../../src/config/formats.ts";

async function validate({ policy, settings }: Imported): Promise<void> {
  const allow = settings["OUTRIGGER_UPSTREAM_ALLOW"] ?? "";
  const read = await createPolicyReader({
    plugins: pluginsByName,
    service: undefined,
    upstreamAllow: parseHostPatterns(allow),
    keys: undefined,
  });
  await read({ shared: Buffer.from(JSON.stringify(policy)), layer: undefined, format: "any" });
}

const kong = `
_format_version: "3.0"
services:
  - name: users
    url: http://users.internal:8000/v1
    read_timeout: 10000
    plugins:
      - { name: key-auth, config: { key_names: [x-api-key], hide_credentials: true } }
    routes:
      - name: list
        paths: [/users]
        methods: [GET, POST]
        plugins:
          - { name: rate-limiting, config: { minute: 100, day: 5000, limit_by: consumer } }
          - { name: cors, config: { origins: ["*"], credentials: true, max_age: 600 } }
      - { name: odd, paths: ["~/users/(?<id>\\\\d+)$"], hosts: [a.example] }
  - name: public
    host: public.internal
    port: 9000
    routes:
      - name: root
        paths: [/]
        strip_path: false
        plugins:
          - { name: proxy-cache, config: { cache_ttl: 30, strategy: memory } }
          - { name: request-transformer, config: { add: { headers: ["X-From:kong"] }, remove: { headers: [x-debug] } } }
          - { name: ip-restriction, config: { deny: [203.0.113.0/24] } }
      - { name: guarded, paths: [/odd], plugins: [ { name: openid-connect, config: {} }, { name: canary, config: {} } ] }
consumers:
  - { username: alice, keyauth_credentials: [ { key: secret-1 }, { key: secret-2 } ], acls: [ { group: admin } ] }
upstreams: []
`;

test("Kong: services, routes, keys by their hash, and the plugins that have a like", async () => {
  const imported = importText(kong);
  await validate(imported);
  const { routes } = imported.policy as {
    routes: { path: string; pluginConfig: Record<string, object>; plugins: string[] }[];
  };
  const byPath = new Map(routes.map((route) => [route.path, route]));
  assert.deepEqual([...byPath.keys()], ["/users/*", "/*", "/odd/*"]);
  const users = byPath.get("/users/*");
  assert.deepEqual(
    { ...users, pluginConfig: undefined },
    {
      path: "/users/*",
      methods: ["GET", "POST"],
      plugins: ["logging", "auth", "rate-limit", "cors", "transform"],
      pluginConfig: undefined,
      stripPrefix: "/users",
      upstream: "http://users.internal:8000/v1",
      timeout: 10000,
    },
  );
  assert.deepEqual(users?.pluginConfig["auth"], {
    apiKeys: {
      headers: ["x-api-key"],
      keys: [
        { sha256: hash("sha256", "secret-1"), id: "alice", userId: "alice" },
        { sha256: hash("sha256", "secret-2"), id: "alice-2", userId: "alice" },
      ],
    },
  });
  assert.deepEqual(users?.pluginConfig["cors"], { origins: ["*"], maxAgeSeconds: 600 });
  assert.ok(!JSON.stringify(imported).includes("secret-1"));
  assert.deepEqual(byPath.get("/*")?.pluginConfig["transform"], {
    addHeaders: { "X-From": "kong" },
    removeHeaders: ["x-debug"],
  });
  // A guard without a like leaves no door open.
  assert.ok(byPath.get("/odd/*")?.plugins.includes("auth"));
  assert.equal(imported.settings["OUTRIGGER_UPSTREAM_ALLOW"], "users.internal:8000,public.internal:9000");
  for (const told of [
    /"odd": .*regular expression/,
    /"odd": hosts/,
    /acls is not carried over/,
    /openid-connect: has no like/,
    /canary: is not carried over/,
    /credentials with any origin/,
    /upstreams: is not/,
    /apix/,
  ])
    assert.ok(
      imported.notes.some((note) => told.test(note)),
      `${String(told)}\n${imported.notes.join("\n")}`,
    );
});

const flat = `
services:
  - name: shop
    url: https://shop.internal
    retries: 5
    plugins: [ { name: request-transformer, config: { add: { headers: ["X-From:kong"] } } } ]
    routes:
      - { name: carts, paths: [/carts], plugins: [ { name: response-transformer, config: { remove: { headers: [x-old] } } } ] }
      - { name: closed, paths: [/closed], plugins: [ { name: request-termination, config: { status_code: 403, message: "No" } } ] }
      - { name: inner, paths: [/inner], plugins: [ { name: ip-restriction, config: { whitelist: [10.0.0.0/8], blacklist: null } } ] }
  - { name: off, enabled: false, url: "http://off.internal", routes: [ { name: off, paths: [/off] } ] }
  - { name: stock, url: "http://stock.internal" }
routes:
  - { name: stock, service: stock, paths: [/stock], protocols: [https] }
  - { name: lost, service: { name: nobody }, paths: [/lost] }
plugins:
  - { name: proxy-cache, service: stock, config: { cache_ttl: 5 } }
  - { name: key-auth, route: { name: carts }, config: { anonymous: null, key_in_body: true } }
  - { name: rate-limiting, config: { minute: 5, month: null } }
  - { name: rate-limiting, service: stock, config: { minute: 9, redis: { host: null } } }
  - { name: cors, route: closed, config: { origins: null, methods: null } }
  - { name: acl, consumer: alice, config: { allow: [staff] } }
consumers:
  - { username: bob, keyauth_credentials: [ { key: 12345 } ] }
`;

test("Kong: a plugin holds where Kong has it hold, the closest of each name, and none is lost for another", async () => {
  const imported = importText(flat);
  await validate(imported);
  const { routes } = imported.policy as { routes: { path: string; pluginConfig: object }[] };
  const limit = (count: number): object => ({
    limits: [{ name: "per-minute", by: "subject", limit: count, window: "1m", algorithm: "fixed" }],
  });
  const transform = { addHeaders: { "X-From": "kong" } };
  assert.deepEqual(Object.fromEntries(routes.map(({ path, pluginConfig }) => [path, pluginConfig])), {
    "/carts/*": {
      "rate-limit": limit(5),
      transform: { ...transform, removeResponseHeaders: ["x-old"] },
      auth: { apiKeys: { headers: ["apikey"] } },
    },
    "/closed/*": {
      "rate-limit": limit(5),
      transform,
      cors: { origins: ["*"] },
      respond: { status: 403, body: '{"message":"No"}', contentType: "application/json" },
    },
    "/inner/*": { "rate-limit": limit(5), transform, "ip-filter": { allow: ["10.0.0.0/8"] } },
    "/stock/*": { "rate-limit": limit(9), cache: { ttlSeconds: 5 } },
  });
  assert.equal(
    imported.settings["OUTRIGGER_UPSTREAM_ALLOW"],
    "shop.internal:443,stock.internal:80",
    "nothing of what is switched off",
  );
  assert.deepEqual(
    [...imported.notes].toSorted(),
    [
      'consumer "bob": a key that is no text, or nobody\'s, is not carried over',
      "Host: Kong tells a service its own name unless preserve_host is set; here it gets the client's",
      "paths: Kong takes /api for a beginning of any path, also of /apix; here it is /api and what lies below",
      "plugins: acl: holds for one consumer alone, and is not carried over",
      'route "carts": key-auth: key_in_body is not carried over',
      'route "carts": key-auth: the service does not get the key any more, as with hide_credentials',
      'route "lost": has no service, and is not carried over',
      'route "stock": takes https alone; here each route takes what the listener does',
      'service "off": is switched off, and not carried over',
      'service "shop": its certificate is checked here, whatever tls_verify says',
      'service "shop": not carried over: retries',
      'service "shop": request-transformer: add and replace: the fields are set here, whether they were there or not',
    ].toSorted(),
  );
});

const proxy = `
# an example
provider = "oidc"
oidc_issuer_url = "https://id.example"
client_id = "app"
client_secret = "very-secret"
cookie_secret = 'abcdefghijklmnop'
redirect_url = "https://app.example/oauth2/callback"
scope = "openid email"
http_address = "0.0.0.0:4180"
upstreams = [
  "http://127.0.0.1:3000/",
]
email_domains = [ "example.com" ]
allowed_groups = ["staff"]
skip_auth_routes = [ "GET=^/health$", "^/static/", "^/odd[0-9]+" ]
banner = "hello"
`;

test("oauth2-proxy: the login, who is let in, and where nobody is asked", async () => {
  const imported = importText(proxy);
  await validate(imported);
  const { pluginConfig } = imported.policy as { pluginConfig: { auth: Record<string, unknown> } };
  assert.deepEqual(pluginConfig.auth, {
    exclude: [{ path: "/health", methods: ["GET"] }, { path: "/static/*" }],
    jwt: {
      login: {
        issuer: "https://id.example",
        clientId: "app",
        clientSecret: "SECRET_LOGIN",
        publicUrl: "https://app.example",
        scopes: ["openid", "email"],
      },
    },
    rules: [
      { name: "domains", allow: { claims: { hd: { oneOf: ["example.com"] } } } },
      { name: "groups", allow: { claims: { groups: { oneOf: ["staff"] } } } },
    ],
  });
  assert.deepEqual(imported.settings, {
    OUTRIGGER_UPSTREAM: "http://127.0.0.1:3000",
    OUTRIGGER_LISTEN: "0.0.0.0:4180",
    OUTRIGGER_SECRET_HOSTS: "SECRET_LOGIN=id.example:443",
  });
  assert.ok(!JSON.stringify(imported).includes("very-secret"));
  for (const told of [
    /odd\[0-9\]\+ is no plain path/,
    /client_secret: is not in the policy/,
    /banner: is not carried over/,
    /email_domains/,
  ])
    assert.ok(
      imported.notes.some((note) => told.test(note)),
      String(told),
    );
});

test("oauth2-proxy: what else narrows who is let in lets nobody in until it is written, and nothing is lost unsaid", async () => {
  const imported = importText(
    'client_id = "app"\ngithub_org = "acme"\nauthenticated_emails_file = "/etc/emails"\nreverse_proxy = true\ncookie_expire = "1h"',
  );
  await validate(imported);
  const { pluginConfig } = imported.policy as { pluginConfig: { auth: { rules: unknown } } };
  assert.deepEqual(
    pluginConfig.auth.rules,
    ["github_org", "authenticated_emails_file"].map((name) => ({
      name,
      allow: { claims: { [name]: { equals: true } } },
    })),
  );
  for (const told of [
    /^github_org: .*lets nobody in/,
    /^authenticated_emails_file: .*lets nobody in/,
    /^reverse_proxy: .*OUTRIGGER_TRUSTED_PROXIES/,
    /^cookie_expire: is not carried over/,
  ])
    assert.ok(
      imported.notes.some((note) => told.test(note)),
      String(told),
    );
});

test("what is neither is refused in a sentence", () => {
  for (const [text, told] of [
    ["a: [", /neither YAML nor/],
    ["{}", /has no services/],
    ["static_resources: {}", /Envoy's.*migrate\.md/],
    ['provider = "oidc"', /no client_id/],
    ["client_id = {", /client_id has a value/],
  ] as const)
    assert.throws(
      () => importText(text),
      (error) => error instanceof ImportError && told.test(error.message),
      text,
    );
});

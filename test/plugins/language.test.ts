// One language: every option for a path, a claim, a method, a network, a field, a duration or a size uses the schema of
// src/language for it, and accepts and refuses the same text.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { describe, it, test } from "node:test";
import { z } from "zod";
import { registry } from "../../plugins/index.ts";
import { pathPattern } from "../../src/language/path-pattern.ts";
import { documentSchema } from "../../src/policy/document/schema.ts";
import { placesOf, strangers } from "../support/meanings.ts";

const limit = { name: "l", by: "ip", limit: 1, window: "1h" };

/** Options with a text in one place. */
type Place = readonly [name: string, options: (text: string) => unknown];
const of = (plugin: string): ((options: unknown) => boolean) => {
  const definition = registry.find(({ name }) => name === plugin);
  return (options) => definition?.options.safeParse(options).success === true;
};
const places: Record<string, Readonly<Record<string, readonly Place[]>>> = {
  path: {
    auth: [
      ["exclude", (path) => ({ exclude: [path] })],
      ["exclude[].path", (path) => ({ exclude: [{ path }] })],
      ["rules[].path", (path) => ({ rules: [{ path, deny: {} }] })],
    ],
    "rate-limit": [
      ["limits[].when.paths", (path) => ({ limits: [{ ...limit, when: { paths: [path] } }] })],
      ["plans.*[].when.paths", (path) => ({ plans: { free: [{ ...limit, when: { paths: [path] } }] } })],
      ["overload.low.paths", (path) => ({ overload: { low: { paths: [path] } } })],
    ],
  },
  claim: {
    auth: [
      ["rules[].allow.claims", (claim) => ({ rules: [{ allow: { claims: { [claim]: { equals: 1 } } } }] })],
      [
        "jwt.introspection.claims.userId",
        (userId) => ({
          jwt: {
            introspection: {
              endpoint: "https://id.example",
              clientId: "c",
              clientSecret: "SECRET_C",
              claims: { userId },
            },
          },
        }),
      ],
    ],
    "rate-limit": [["limits[].by", (claim) => ({ limits: [{ ...limit, by: `claim:${claim}` }] })]],
    cache: [["vary", (claim) => ({ vary: [`claim:${claim}`] })]],
  },
  method: {
    auth: [
      ["rules[].methods", (method) => ({ rules: [{ methods: [method], deny: {} }] })],
      ["exclude[].methods", (method) => ({ exclude: [{ path: "/a", methods: [method] }] })],
    ],
    cors: [["methods", (method) => ({ methods: [method] })]],
    "rate-limit": [
      ["limits[].when.methods", (method) => ({ limits: [{ ...limit, when: { methods: [method] } }] })],
    ],
  },
};
const key = { sha256: "0".repeat(64), id: "k", userId: "u" };
places.network = {
  auth: [
    ["rules[].deny.client.cidrs", (cidr) => ({ rules: [{ deny: { client: { cidrs: [cidr] } } }] })],
    ["apiKeys.keys[].cidrs", (cidr) => ({ apiKeys: { keys: [{ ...key, cidrs: [cidr] }] } })],
  ],
};
places["field name"] = {
  auth: [
    ["apiKeys.headers", (name) => ({ apiKeys: { headers: [name] } })],
    ["assertion.header", (header) => ({ assertion: { header } })],
  ],
  cache: [
    ["vary", (name) => ({ vary: [name] })],
    ["targets", (name) => ({ targets: [name] })],
    ["bypass.fields", (name) => ({ bypass: { fields: [name] } })],
  ],
  cors: [
    ["headers", (name) => ({ headers: [name] })],
    ["exposeHeaders", (name) => ({ exposeHeaders: [name] })],
  ],
  logging: [
    ["headers", (name) => ({ headers: [name] })],
    ["redact", (name) => ({ redact: [name] })],
  ],
  "rate-limit": [["limits[].by", (name) => ({ limits: [{ ...limit, by: `header:${name}` }] })]],
  transform: [
    ["addHeaders", (name) => ({ addHeaders: { [name]: "1" } })],
    ["removeHeaders", (name) => ({ removeHeaders: [name] })],
    ["addResponseHeaders", (name) => ({ addResponseHeaders: { [name]: "1" } })],
    ["removeResponseHeaders", (name) => ({ removeResponseHeaders: [name] })],
  ],
};
const texts: Readonly<Record<string, { good: readonly string[]; bad: readonly string[] }>> = {
  path: {
    good: ["/", "/*", "/a", "/a/", "/a/b/*", "/files/~bob/*", "/caf%C3%A9", "/a;v=1"],
    bad: [
      "/files/%7Ebob/*",
      "/a//b",
      "/\u00e4/*",
      "/%c3%a4/*",
      "/a/../b",
      "/a*",
      "/a/*/b",
      "a",
      "",
      "/a?b",
      "/a%2Fb",
      "/a%5Cb",
      "/a%252Fb",
    ],
  },
  claim: {
    good: ["org", "org.id", "https://x.example/org", "a-b_c"],
    bad: ["", "a..b", ".a", "a.", "org id", "a\n"],
  },
  method: { good: ["GET", "M-SEARCH", "PURGE"], bad: ["get", "FETCH", "CONNECT", "", "GET "] },
  network: {
    good: ["10.0.0.0/8", "192.0.2.7", "fd00::/8", "::1", "0.0.0.0/0", "::ffff:10.0.0.0/104"],
    bad: [
      "010.0.0.0/8",
      "0xa.0.0.0/8",
      "10/8",
      "10.0.0.0/08",
      "10.0.0.0/33",
      "::ffff:10.0.0.0/95",
      "fe80::1%e0",
      "",
      "a",
    ],
  },
  "field name": {
    good: ["X-Team", "x_team", "a".repeat(128)],
    bad: ["", "X Team", "x:y", "\u00e4", "a".repeat(129)],
  },
};

describe("options of plugins", () => {
  for (const [kind, byPlugin] of Object.entries(places)) {
    const { good, bad } = texts[kind] as (typeof texts)[string];
    for (const [plugin, list] of Object.entries(byPlugin)) {
      const takes = of(plugin);
      for (const [name, options] of list) {
        it(`${plugin}.${name} is a ${kind} as everywhere`, () => {
          for (const text of good) assert.ok(takes(options(text)), text);
          for (const text of bad) assert.ok(!takes(options(text)), text);
        });
      }
    }
  }

  it("and a route's path and methods are the same", () => {
    const schema = documentSchema({ plugins: {} });
    const takes = (route: object): boolean =>
      schema.safeParse({ apiVersion: "outrigger/v1", routes: [{ path: "/", ...route }] }).success;
    for (const path of texts.path?.good ?? []) assert.ok(takes({ path }), path);
    for (const path of texts.path?.bad ?? []) assert.ok(!takes({ path }), path);
    for (const method of texts.method?.good ?? []) assert.ok(takes({ methods: [method] }), method);
    for (const method of texts.method?.bad ?? []) assert.ok(!takes({ methods: [method] }), method);
  });
});

/** Names that say something else than what such names usually mean, each with what. */
const otherwise: Readonly<Record<string, string>> = {
  "apiKeys.keys[].claims{}": "claims themselves, as a token has them",
  "extensions.*.manifest.cost.bytes": "memory of a request on the average, which may be a part of one",
  "negativeTtlSeconds{}": "the statuses of those lifetimes",
  "tests[].request.path": "the target of one request, as a client sends it",
  "tests[].request.identity.method": "how the caller showed who it is",
  "basic.claims{}": "claims themselves, as a token has them",
  "basic.identities[].claims{}": "claims themselves, as a token has them",
  "signatures.keys[].claims{}": "claims themselves, as a token has them",
  "tests[].request.identity.claims{}": "claims themselves, as a token has them",
};

test("every option is of the language whose name says so", () => {
  const seen = new Set<string>();
  const schemas = registry.map(({ name, options }) => [name, options] as const);
  for (const [name, schema] of [...schemas, ["the policy", documentSchema({ plugins: {} })] as const]) {
    assert.deepEqual(strangers(schema, otherwise), [], name);
    for (const { meaning } of placesOf(schema)) seen.add(meaning);
  }
  assert.deepEqual([...seen].sort(), [
    "byte size",
    "claim",
    "field name",
    "method",
    "milliseconds",
    "network",
    "path",
    "seconds",
    "window",
  ]);
});

test("an option with a grammar of its own is found, however deep", () => {
  const planted = z.strictObject({
    cachePath: z.string().default("/*"),
    list: z
      .array(z.strictObject({ paths: z.array(z.string()).nullable(), claim: z.string().optional() }))
      .prefault([]),
    waitMs: z.int(),
    window: z.union([z.literal(false), z.string()]),
    claims: z.record(z.string(), z.string()),
    cidrs: z.array(z.string()),
    keptBytes: z.number(),
    good: z.strictObject({ path: pathPattern.describe("as it should be").optional() }),
  });
  assert.deepEqual(
    strangers(planted, { cidrs: "not its place" }).map((found) => found.split(":")[0]),
    ["cachePath", "list[].paths[]", "list[].claim", "waitMs", "window", "claims{}", "cidrs[]", "keptBytes"],
  );
});

test("no other place has a grammar of fields or networks", () => {
  const foreign = globSync(["src/**/*.ts", "plugins/**/*.ts"])
    .filter((file) => !file.startsWith("src/language/"))
    .filter((file) => /!#\$%&'\*\+|parseCIDR|isValidCIDR/.test(readFileSync(file, "utf8")));
  assert.deepEqual(foreign, []);
});

// One language: every option that means a path, a method or a claim takes and refuses the same text.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { registry } from "../../plugins/index.ts";
import { documentSchema } from "../../src/policy/document/schema.ts";

const limit = { name: "l", by: "ip", limit: 1, window: "1h" };

/** Options with a text in one place. */
type Place = readonly [name: string, options: (text: string) => unknown];
const of = (plugin: string): ((options: unknown) => boolean) => {
  const definition = registry.find(({ name }) => name === plugin);
  return (options) => definition?.options.safeParse(options).success === true;
};
const places: Readonly<Record<string, Readonly<Record<string, readonly Place[]>>>> = {
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
    "rate-limit": [
      ["limits[].when.methods", (method) => ({ limits: [{ ...limit, when: { methods: [method] } }] })],
    ],
  },
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
  method: { good: ["GET", "M-SEARCH", "PURGE"], bad: ["get", "FETCH", "CONNECT", "", "*"] },
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

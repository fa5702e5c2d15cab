// This sidecar's own plugins accept the example policies in deploy/policies.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { z } from "zod";
import { registry } from "../../../plugins/index.ts";
import { type HostPattern, parseHostPatterns } from "../../../src/config/formats.ts";
import { formatOf } from "../../../src/policy/sources/file-source.ts";
import { type EffectivePolicy, createPolicyReader } from "../../../src/policy/read.ts";
import type { PolicyPlugins } from "../../../src/policy/document/schema.ts";
import { problemsOf } from "./sample.ts";

const builtIn: PolicyPlugins = Object.fromEntries(registry.map((plugin) => [plugin.name, plugin]));
const standIn = { options: z.looseObject({}), security: false };
/** Every plugin of the contract; one that is not built in takes any options. */
const all: PolicyPlugins = { auth: standIn, "rate-limit": standIn, cache: standIn, ...builtIn };

function without(...names: string[]): PolicyPlugins {
  return Object.fromEntries(Object.entries(all).filter(([name]) => !names.includes(name)));
}

async function load(
  name: string,
  plugins: PolicyPlugins,
  upstreamAllow: readonly HostPattern[],
): Promise<EffectivePolicy> {
  const path = new URL(`../../../deploy/policies/${name}`, import.meta.url);
  const read = await createPolicyReader({ plugins, service: undefined, upstreamAllow, keys: undefined });
  return read({ shared: await readFile(path), layer: undefined, format: formatOf(name) });
}

describe("the three routes users, products and public", () => {
  const name = "users-products-public.json";
  const allowed = parseHostPatterns("user-service:3000,product-service:3001,content-service:3002");

  test("are in force as they stand, once their upstreams are allowed", async () => {
    const { routes } = await load(name, all, allowed);
    assert.deepEqual(
      routes.map(({ path, plugins, upstream, timeoutMs }) => [path, plugins.length, upstream, timeoutMs]),
      [
        ["/api/users/*", 4, "http://user-service:3000", 10_000],
        ["/api/products/*", 4, "http://product-service:3001", 15_000],
        ["/api/public/*", 2, "http://content-service:3002", 5000],
      ],
    );
  });

  test("are refused upstream by upstream while these are not", async () => {
    const problems = await problemsOf(() => load(name, all, []));
    const paths = problems.map(({ path }) => path);
    assert.deepEqual(paths, ["routes[0].upstream", "routes[1].upstream", "routes[2].upstream"]);
  });

  test("are refused for exactly auth and cache where these two do not exist", async () => {
    const problems = await problemsOf(() => load(name, without("auth", "cache"), allowed));
    const unknown = problems.map(({ message }) => /^unknown plugin "([^"]+)"/.exec(message)?.[1] ?? message);
    assert.deepEqual([...new Set(unknown)].toSorted(), ["auth", "cache"]);
  });
});

test("the starter needs no more than logging, cors and transform", async () => {
  const { document } = await load("starter.yaml", without("auth", "rate-limit", "cache"), []);
  assert.deepEqual(document.plugins, ["logging", "cors", "transform"]);
});

test("the example of everything names every plugin of the contract", async () => {
  const { document, routes } = await load("everything.yaml", all, []);
  assert.deepEqual(document.plugins.toSorted(), [
    "auth",
    "cache",
    "cors",
    "ip-filter",
    "logging",
    "rate-limit",
    "security-headers",
    "transform",
  ]);
  assert.equal(routes.length, 3);
});

test("the example of maintenance is in force as it stands", async () => {
  const { routes } = await load("maintenance.yaml", all, []);
  assert.deepEqual(
    routes.map(({ path, plugins }) => [path, plugins.length]),
    [
      ["/*", 6],
      ["/healthz", 1],
    ],
  );
});

test("the example of an endpoint that decides is in force as it stands", async () => {
  const { document, routes } = await load("ext-auth.yaml", all, []);
  assert.deepEqual(document.locked, ["auth", "ext-auth"]);
  assert.deepEqual(
    routes.map(({ path, plugins }) => [path, plugins.length]),
    [["/*", 5]],
  );
});

test("the example of a validated API is in force as it stands", async () => {
  const { routes } = await load("validated.yaml", all, []);
  assert.deepEqual(
    routes.map(({ path, plugins }) => [path, plugins.length]),
    [["/*", 5]],
  );
});

test("the example of pages is in force as it stands", async () => {
  const { document } = await load("pages.yaml", all, []);
  for (const name of ["csrf", "compress"]) assert.ok(document.plugins.includes(name));
});

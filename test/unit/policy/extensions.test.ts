// Plugins that are not built in, in documents: what entries may contain, and what their packages must be.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { manifest, type Package } from "../../../src/extensions/manifest.ts";
import { type PackageProblem, PackagesRefused } from "../../../src/extensions/package-store.ts";
import { ReadingCutShort, isOfTheDocument } from "../../../src/policy/document/problems.ts";
import { pack, unpack } from "../../../src/policy/packed.ts";
import type { FindPackages } from "../../../src/policy/extensions/resolve.ts";
import { createPolicyReader, type EffectivePolicy, type RawPolicy } from "../../../src/policy/read.ts";
import { problemsOf, samplePlugins, saidOf, text } from "./sample.ts";
import { longestTurn } from "../../support/cpu.ts";

const geo = { source: "file:/plugins/geo.wasm", runtime: "wasm" } as const;
const sha256 = "a".repeat(64);

/** A package whose manifest says that. */
function packageOf(said: object, kind: Package["kind"] = "wasm"): Package {
  const own = manifest.parse({ name: "geo", version: "1.2.0", ...said });
  return { manifest: own, kind, bytes: Buffer.from("\0asm"), sha256 };
}

/** @returns hands out these packages */
function having(packages: Readonly<Record<string, Package>>): FindPackages {
  return async (entries) =>
    new Map(Object.keys(entries).map((name) => [name, packages[name] ?? packageOf({ name })]));
}

interface Reading {
  readonly layer?: object;
  readonly service?: string;
  readonly standing?: boolean;
  readonly packages?: FindPackages;
}

const plugins = Object.fromEntries(
  Object.entries(samplePlugins).map(([name, plugin], at) => [name, { ...plugin, priority: 100 + at }]),
);

async function read(
  shared: object,
  { layer, service = "users", standing, packages = having({}) }: Reading = {},
): Promise<EffectivePolicy> {
  const reader = await createPolicyReader({
    plugins,
    packages,
    service,
    upstreamAllow: undefined,
    keys: undefined,
  });
  const raw: RawPolicy = {
    shared: Buffer.from(text(shared)),
    layer: layer && Buffer.from(text(layer)),
    format: "json",
    ...(standing === undefined ? {} : { standing }),
  };
  return reader(raw);
}

const refused = (shared: object, reading?: Reading): Promise<string[]> => saidOf(() => read(shared, reading));

describe("a policy with extensions", () => {
  test("may name them as any plugin, and tells of them with their packages", async () => {
    const shared = {
      extensions: { geo: { ...geo, sha256 } },
      plugins: ["geo", "logging"],
      pluginConfig: { geo: { country: "CH" } },
      locked: ["geo"],
      routes: [{ path: "/api/*", pluginConfig: { geo: { country: "AT", failMode: "open" } } }],
    };
    const policy = await read(shared);
    assert.deepEqual(
      policy.extensions.map(({ name, entry, package: { manifest: own } }) => [
        name,
        entry.sha256,
        own.version,
      ]),
      [["geo", sha256, "1.2.0"]],
    );
    assert.deepEqual(policy.routes[0]?.pluginConfig["geo"], { country: "AT", failMode: "open" });
    assert.deepEqual(policy.document.extensions?.["geo"]?.source, geo.source);
    assert.deepEqual(await unpack(pack(policy)), policy);
  });

  test("has another digest with other bytes, and the same without extensions as before", async () => {
    const digestWith = async (digest: string): Promise<string> =>
      (await read({ extensions: { geo: { ...geo, sha256: digest } } })).digest;
    assert.notEqual(await digestWith("a".repeat(64)), await digestWith("b".repeat(64)));
    assert.ok(!("extensions" in (await read({})).document));
  });

  test("is told what is wrong with its entries, all at once and with places", async () => {
    const shared = {
      extensions: {
        geo: { ...geo, sorce: "x", sha256: "12", limits: { timeMs: 0 } },
        Geo: geo,
        auth: geo,
        other: { ...geo, source: "ftp://x", replaces: "gei" },
      },
      plugins: ["geo", "gio"],
    };
    assert.deepEqual((await refused(shared)).toSorted(), [
      "extensions.Geo: must be lower-case letters, digits and -, and begin with a letter",
      "extensions.auth: is the name of a built-in plugin",
      "extensions.geo.limits.timeMs: must be at least 1",
      "extensions.geo.sha256: must be a SHA-256 in 64 lower-case hex digits",
      'extensions.geo.sorce: unknown field "sorce", did you mean "source"?',
      'extensions.other.replaces: unknown extension "gei", did you mean "geo"?',
      "extensions.other.source: must begin with file:, redis:, oci:// or https://",
      'plugins[1]: unknown plugin "gio", did you mean "geo"?',
    ]);
    const [problem] = await problemsOf(() => read({ extensions: { geo: { ...geo, runtime: "java" } } }));
    assert.equal(problem?.document, "policy");
    assert.ok((problem?.column ?? 0) > 1);
  });

  test("has at most 64", async () => {
    const many = (count: number): object => ({
      extensions: Object.fromEntries(
        Array.from({ length: count }, (_, at) => [`geo-${at}`, { ...geo, priority: 200 + at }]),
      ),
    });
    assert.equal((await read(many(64))).extensions.length, 64);
    assert.deepEqual(await refused(many(65)), ["extensions: has 65 extensions; at most 64 are taken"]);
  });

  test("replaces only what is there, once, and for no more services than that is for", async () => {
    const withReplaces = (entries: object): Promise<string[]> => refused({ extensions: entries });
    assert.deepEqual(await withReplaces({ geo: { ...geo, replaces: "geo" } }), [
      "extensions.geo.replaces: names itself",
    ]);
    assert.deepEqual(await withReplaces({ a: { ...geo, replaces: "b" }, b: { ...geo, replaces: "a" } }), [
      'extensions.a.replaces: "b" replaces another itself',
      'extensions.b.replaces: "a" replaces another itself',
    ]);
    assert.deepEqual(
      await withReplaces({ a: geo, b: { ...geo, replaces: "a" }, c: { ...geo, replaces: "a" } }),
      ['extensions.c.replaces: "a" is replaced by "b" already'],
    );
    assert.deepEqual(
      await withReplaces({ a: { ...geo, services: ["users"] }, b: { ...geo, replaces: "a" } }),
      ['extensions.b.replaces: "a" is for fewer services'],
    );
    // Two versions of one package: the same name and place in the chain.
    const next = { ...geo, replaces: "geo", percent: 10 };
    const policy = await read(
      { extensions: { geo, next }, plugins: ["geo"] },
      { packages: having({ next: packageOf({ name: "geo", version: "1.3.0" }) }) },
    );
    assert.equal(policy.extensions.length, 2);
  });
});

describe("a package", () => {
  const shared = { extensions: { geo: { ...geo, version: "^1.2.0" } }, plugins: ["geo"] };
  const refusedWith = (found: Package, entry: object = {}): Promise<string[]> =>
    refused(
      { ...shared, extensions: { geo: { ...shared.extensions.geo, ...entry } } },
      { packages: having({ geo: found }) },
    );

  test("is held against what the policy says of it", async () => {
    assert.deepEqual(await refusedWith(packageOf({ security: true }), { failMode: "open" }), [
      "extensions.geo.failMode: a plugin that decides who gets in always fails closed",
    ]);
  });

  test("that decides who gets in does so for all callers, alone or beside another that does", async () => {
    const guard = { ...geo, percent: 10 };
    const packages = having({
      geo: packageOf({ security: true }),
      next: packageOf({ name: "next", security: true, priority: 30 }),
    });
    const alike = "a plugin that decides who gets in does so for all callers, or beside another that does";
    const said = (entries: object): Promise<string[]> => refused({ extensions: entries }, { packages });
    assert.deepEqual(await said({ geo: guard }), [`extensions.geo.percent: ${alike}`]);
    const open = { ...geo, replaces: "geo", percent: 10 };
    assert.deepEqual(await said({ geo, other: open }), [`extensions.other.replaces: ${alike}`]);
    assert.deepEqual(await said({ geo: guard, next: open }), [`extensions.next.percent: ${alike}`]);
    const { extensions } = await read({ extensions: { geo, next: open } }, { packages });
    assert.equal(extensions.length, 2);
  });

  test("shares its priority with no other plugin", async () => {
    assert.deepEqual(await refusedWith(packageOf({ priority: 100 })), [
      'extensions.geo.priority: 100 is the priority of "logging" too: give one of them another, by "priority"',
    ]);
    const twins = { extensions: { geo, place: geo } };
    assert.deepEqual(await refused(twins), [
      'extensions.place.priority: 30 is the priority of "geo" too: give one of them another, by "priority"',
    ]);
  });

  test("has its options checked by its manifest, wherever they stand", async () => {
    const options = {
      type: "object",
      properties: { country: { type: "string", maxLength: 2 } },
      additionalProperties: false,
    };
    const packages = having({ geo: packageOf({ options }) });
    const config = { geo: { country: "CHE", contry: "CH" } };
    const routes = [{ path: "/*" }, { path: "/a", pluginConfig: { geo: { country: 1 } } }];
    const said = await refused(
      { extensions: { geo }, plugins: ["geo"], pluginConfig: config, routes },
      { packages },
    );
    assert.deepEqual(said, [
      "pluginConfig.geo.country: must have at most 2 characters",
      'pluginConfig.geo.contry: unknown field "contry"',
      "routes[1].pluginConfig.geo.country: expected string, received number",
    ]);
    const open = { ...shared, pluginConfig: { geo: { failMode: "open" } } };
    assert.deepEqual(await refused(open, { packages: having({ geo: packageOf({ security: true }) }) }), [
      "pluginConfig.geo.failMode: a plugin that decides who gets in always fails closed",
    ]);
  });

  test("whose options cannot be checked is refused", async () => {
    const [said] = await refusedWith(packageOf({ options: { type: "banana" } }));
    assert.match(said ?? "", /^extensions\.geo: the options of its manifest: .*banana/);
    const long = { type: "object", description: "x".repeat(70_000) };
    const [late] = await refusedWith(packageOf({ options: long }));
    assert.match(late ?? "", /^extensions\.geo: the options of its manifest: longer than/);
  });

  test("that is not to be had refuses the policy: for good, or until it is tried again", async () => {
    const without = (problem: Omit<PackageProblem, "name">): Reading => ({
      packages: () => Promise.reject(new PackagesRefused([{ name: "geo", ...problem }])),
    });
    const late = { field: "source", message: "no answer within 10 s", transient: true };
    const error: unknown = await read(shared, without(late)).catch((reason: unknown) => reason);
    assert.ok(error instanceof ReadingCutShort);
    assert.equal(isOfTheDocument(error), false);
    assert.deepEqual(await refused(shared, without(late)), ["extensions.geo.source: no answer within 10 s"]);
    const wrong = { field: "sha256", message: "is missing", transient: false };
    const refusal: unknown = await read(shared, without(wrong)).catch((reason: unknown) => reason);
    assert.equal(isOfTheDocument(refusal), true);
  });

  test("is asked for only where a policy has any, and once it is right otherwise", async () => {
    const asked: string[] = [];
    const packages: FindPackages = async (entries) => {
      asked.push(...Object.keys(entries));
      return having({})(entries);
    };
    await read({ plugins: ["logging"] }, { packages });
    await refused({ ...shared, routes: [{ path: "no" }] }, { packages });
    assert.deepEqual(asked, []);
    await read(shared, { packages });
    assert.deepEqual(asked, ["geo"]);
  });

  test("is not taken where there is no way to get any", async () => {
    const reader = await createPolicyReader({ plugins, service: "x", upstreamAllow: [], keys: undefined });
    const raw: RawPolicy = { shared: Buffer.from(text(shared)), layer: undefined, format: "json" };
    assert.deepEqual(await saidOf(() => reader(raw)), ["extensions.geo: extensions are not taken here"]);
  });
});

describe("an extension for some services", () => {
  const shared = {
    extensions: { geo: { ...geo, services: ["orders"] } },
    plugins: ["geo", "logging"],
    pluginConfig: { geo: { country: "CH" } },
    locked: ["geo"],
  };

  test("is not there for the others, and is not fetched", async () => {
    const packages: FindPackages = () => assert.fail("nothing is needed");
    const policy = await read(shared, { packages });
    assert.deepEqual(policy.document.extensions, {});
    assert.deepEqual(policy.routes[0]?.plugins, ["logging"]);
    assert.deepEqual(policy.document.locked, []);
    const own = await read(shared, { service: "orders" });
    assert.deepEqual(own.routes[0]?.plugins, ["geo", "logging"]);
  });
});

describe("an extension that replaces another", () => {
  const pinned = { ...geo, sha256 };
  const extensions = { geo: pinned, next: { ...pinned, replaces: "geo", percent: 5 } };
  const config = { geo: { mark: "old" }, next: { mark: "new" } };
  const routes = [
    { path: "/a", plugins: ["geo"] },
    { path: "/b", plugins: ["next"] },
    { path: "/c", plugins: [] },
  ];

  test("is on the routes of that one, and that one on its own, each with its options", async () => {
    const policy = await read({ extensions, pluginConfig: config, routes });
    assert.deepEqual(
      policy.routes.map((route) => [route.path, route.plugins, route.pluginConfig]),
      [
        ["/a", ["geo", "next"], config],
        ["/b", ["next", "geo"], config],
        ["/c", [], {}],
      ],
    );
  });

  test("leaves its routes to that one at services that it is not for", async () => {
    const some = { ...extensions, next: { ...extensions.next, services: ["orders"] } };
    const policy = await read({ extensions: some, pluginConfig: config, routes, plugins: ["next", "geo"] });
    assert.deepEqual(
      policy.routes.map((route) => [route.plugins, route.pluginConfig]),
      [
        [["geo"], { geo: config.geo }],
        [["geo"], { geo: config.geo }],
        [[], {}],
      ],
    );
    assert.deepEqual(policy.unmatched.plugins, ["geo"]);
  });
});

describe("a layer over extensions", () => {
  const shared = { extensions: { geo }, plugins: ["logging"] };

  test("may use those of the shared policy and has none of its own", async () => {
    const layer = {
      routes: [{ path: "/api/*", plugins: ["geo"], pluginConfig: { geo: { country: "CH" } } }],
    };
    const policy = await read(shared, { layer });
    assert.deepEqual(policy.routes.find(({ path }) => path === "/api/*")?.plugins, ["geo"]);
    assert.deepEqual(await refused(shared, { layer: { extensions: { geo } } }), [
      "extensions: only the shared policy has extensions",
    ]);
    assert.deepEqual(await refused(shared, { layer: { plugins: ["gio"] } }), [
      'plugins[0]: unknown plugin "gio", did you mean "geo"?',
    ]);
  });

  test("that stood before holds no shared policy back that has them no more: its routes take nobody", async () => {
    const layer = {
      routes: [
        { path: "/pay/*", plugins: ["geo", "logging"], pluginConfig: { geo: { country: "CH" } } },
        { path: "/free/*" },
      ],
    };
    const policy = await read({ plugins: ["logging"] }, { layer, standing: true });
    const pay = policy.routes.find(({ path }) => path === "/pay/*");
    assert.deepEqual([pay?.closed, pay?.plugins, pay?.pluginConfig], [true, ["logging"], {}]);
    assert.equal(policy.routes.find(({ path }) => path === "/free/*")?.closed, undefined);
    assert.deepEqual(
      policy.overruled.map(({ document, path, message }) => [document, path, message]),
      [
        [
          "policy:users",
          "routes[0].plugins[0]",
          'the shared policy has no plugin "geo": routes that would run it take nobody',
        ],
      ],
    );
    assert.deepEqual(policy.document.routes.find(({ path }) => path === "/pay/*")?.closed, true);
    const locking = await read({ plugins: ["logging"] }, { layer: { locked: ["geo"] }, standing: true });
    assert.deepEqual(
      locking.overruled.map(({ path }) => path),
      ["locked"],
    );
    const everywhere = { plugins: ["geo", "logging"], pluginConfig: { geo: { country: "CH" } } };
    const all = await read({ plugins: ["logging"] }, { layer: everywhere, standing: true });
    assert.deepEqual([all.routes[0]?.closed, all.document.plugins], [true, ["logging"]]);
    assert.deepEqual(all.document.pluginConfig, {});
  });
});

describe("schemas of options that cost more than they may", () => {
  const names = Array.from({ length: 300 }, (_, index) => `name-${index}`);
  const ofNext = { $ref: "#/$defs/next" };
  const wide = { type: "object", properties: Object.fromEntries(names.map((name) => [name, ofNext])) };
  const deep = { anyOf: [1, 2, 3].map(() => ({ type: "array", items: ofNext })) };
  const nested: unknown = JSON.parse(`${"[".repeat(28)}1${"]".repeat(28)}`);
  const kinds = [
    [{ properties: { a: { type: "string", pattern: "^(a+)+$" } } }, `${"a".repeat(40)}!`],
    [{ $defs: { next: deep }, properties: { a: ofNext } }, nested],
    [{ $defs: { next: wide }, properties: { a: ofNext } }, {}],
    [{ properties: { a: { enum: Array.from({ length: 6_000 }, (_, index) => `v${index}`) } } }, "v1"],
  ] as const;

  test("are refused by their plugins' names, and hold up no request", async () => {
    // Whatever has to be compiled is.
    await read({ extensions: { geo: { ...geo, sha256 } }, plugins: ["geo"] });
    for (const kind of kinds.keys()) {
      const [schema, a] = kinds[kind] as (typeof kinds)[number];
      const all = Array.from({ length: 20 }, (_, index) => `geo-${kind}-${index}`);
      const packages = all.map((name, index) => {
        const options = { type: "object", title: name, ...schema };
        return [name, packageOf({ name, priority: 200 + index, options })] as const;
      });
      const shared = {
        extensions: Object.fromEntries(all.map((name) => [name, { ...geo, sha256 }])),
        plugins: all,
        pluginConfig: Object.fromEntries(all.map((name) => [name, { a }])),
      };
      let said: readonly string[] = [];
      const finding = having(Object.fromEntries(packages));
      const turnMs = await longestTurn(async () => (said = await refused(shared, { packages: finding })));
      assert.ok(turnMs < 50, `${turnMs} ms of kind ${kind}`);
      assert.match(said.join("\n"), /^(extensions|pluginConfig)\.geo-\d-\d+: .* takes longer than 30 ms/m);
    }
  });
});

describe("a lock on an extension of a pair", () => {
  const pinned = { ...geo, sha256 };
  const next = { ...pinned, replaces: "geo", percent: 100 };
  const pluginConfig = { geo: { mark: "old" }, next: { mark: "new" } };
  const routes = [{ path: "/a", pluginConfig: { next: { level: 2 } } }];

  test("holds for the other one, which has its callers", async () => {
    for (const [locked, listed] of [
      ["geo", "geo"],
      ["geo", "next"],
      ["next", "geo"],
      ["next", "next"],
    ] as const) {
      const extensions = { geo: pinned, next };
      const shared = { extensions, plugins: [listed], pluginConfig, locked: [locked], routes };
      for (const name of ["geo", "next"])
        assert.deepEqual(await refused(shared, { layer: { pluginConfig: { [name]: { mark: "weak" } } } }), [
          `pluginConfig.${name}: configures "${name}", which the shared policy locks`,
        ]);
      const own = { path: "/a", plugins: [listed], pluginConfig: { logging: {} } };
      const { routes: held } = await read(shared, { layer: { routes: [own] } });
      assert.deepEqual(held[0]?.pluginConfig["next"], { mark: "new", level: 2 });
      assert.deepEqual(held[0].pluginConfig["geo"], { mark: "old" });
      // Either name stands for both.
      await read(shared, { layer: { plugins: ["geo"] } });
      await read(shared, { layer: { plugins: ["next"], locked: [locked] } });
      assert.match(String(await refused(shared, { layer: { plugins: ["logging"] } })), /drops "/);
      const without = { routes: [{ path: "/a", plugins: [] }] };
      assert.match(String(await refused(shared, { layer: without })), /must run "/);
    }
  });

  test("stays on the one that is left at services that the other is not for", async () => {
    const extensions = { geo: pinned, next: { ...next, services: ["orders"] } };
    const shared = { extensions, plugins: ["next"], pluginConfig, locked: ["next"] };
    assert.match(String(await refused(shared, { layer: { plugins: [] } })), /drops "geo"/);
    assert.deepEqual((await read(shared)).document.locked, ["geo"]);
  });
});

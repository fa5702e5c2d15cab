// Plugins in policies: each policy with its own version; their state is shared, and released at the end.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Extension } from "../../../src/extensions/entry.ts";
import { pluginAtFault } from "../../../src/runtime/plugin-faults.ts";
import type { PluginHost } from "../../../src/runtime/plugin-host.ts";
import { createSnapshot, type Snapshot } from "../../../src/runtime/snapshot.ts";
import { exchangeOf } from "../../support/exchange.ts";
import { type BundleOptions, bundleExtension, pluginCode } from "../../support/extensions.ts";
import { hostWith, routeSpec } from "../../support/plugin-host.ts";
import { pluginWith } from "../../support/plugins.ts";

/** What the bundles below tell of themselves: they run in this process. */
interface Told {
  readonly inits: string[];
  readonly disposals: string[];
}
const told: Told = { inits: [], disposals: [] };
Object.assign(globalThis, { told });

function versionOf(version: string, options: Partial<BundleOptions> = {}): Extension {
  const members = `
    init: () => (told.inits.push("${version}"), { version: "${version}", setUps: 0 }),
    dispose: (state) => void told.disposals.push(state.version),
    setup: ({ state }) => (state.setUps += 1, { documents: { state: () => JSON.stringify(state) } })`;
  return bundleExtension({ code: pluginCode(members, { version }), manifest: { version }, ...options });
}

async function snapshotOf(host: PluginHost, extensions: readonly Extension[]): Promise<Snapshot> {
  const names = extensions.map(({ name }) => name);
  const spec = { routes: [routeSpec("/*", names)], unmatched: routeSpec("", []) };
  return createSnapshot(spec, await host.with(extensions), () => {});
}

const stateIn = (snapshot: Snapshot): unknown => JSON.parse(snapshot.document("/plugins/geo/state") ?? "");
const closed = async (snapshot: Snapshot): Promise<void> => {
  snapshot.retire();
  await snapshot.closed;
  await new Promise((resolve) => setImmediate(resolve));
};

describe("plugins that policies bring", () => {
  it("are each policy's own, two versions side by side", async () => {
    told.inits.length = told.disposals.length = 0;
    const host = hostWith([]);
    const one = await snapshotOf(host, [versionOf("1.0.0")]);
    const two = await snapshotOf(host, [versionOf("2.0.0")]);
    assert.deepEqual(stateIn(one), { version: "1.0.0", setUps: 1 });
    assert.deepEqual(stateIn(two), { version: "2.0.0", setUps: 1 });
    assert.equal(host.plugins.has("geo"), false);
    two.enter();
    await closed(one);
    assert.deepEqual(told.disposals, ["1.0.0"]);
    two.retire();
    assert.deepEqual(told.disposals, ["1.0.0"]);
    two.leave();
    await closed(two);
    // Nothing stays of what no policy has, not even the latest.
    assert.deepEqual(told.disposals, ["1.0.0", "2.0.0"]);
  });

  it("keep their state from policy to policy while package and entry stay the same", async () => {
    told.inits.length = told.disposals.length = 0;
    const host = hostWith([]);
    const one = await snapshotOf(host, [versionOf("1.0.0")]);
    const two = await snapshotOf(host, [versionOf("1.0.0")]);
    await closed(one);
    assert.deepEqual(stateIn(two), { version: "1.0.0", setUps: 2 });
    const limited = await snapshotOf(host, [versionOf("1.0.0", { entry: { limits: { timeMs: 5 } } })]);
    await closed(two);
    assert.deepEqual(stateIn(limited), { version: "1.0.0", setUps: 1 });
    assert.deepEqual([told.inits, told.disposals], [["1.0.0", "1.0.0"], ["1.0.0"]]);
    await closed(limited);
    told.inits.length = 0;
    const [left, right] = await Promise.all([1, 2].map(() => snapshotOf(host, [versionOf("3.0.0")])));
    assert.deepEqual(told.inits, ["3.0.0"]);
    for (const snapshot of [left, right]) if (snapshot !== undefined) await closed(snapshot);
  });

  it("hand their state over to another version that takes their place", async () => {
    const code = (version: string, hooks: string): string =>
      pluginCode(
        `init: () => ({ seen: [] }), ${hooks},
        setup: ({ state }) => ({ documents: { state: () => JSON.stringify(state.seen) } })`,
        { version },
      );
    const extension = (version: string, hooks: string): Extension =>
      bundleExtension({ code: code(version, hooks), manifest: { version } });
    const logged: unknown[] = [];
    const note = (fields: Record<string, unknown>): void => void logged.push(fields);
    const host = hostWith([], { debug: note, info: note, warn: note, error: note });
    const plain = await snapshotOf(host, [extension("1.0.0", 'exportState: () => ["one"]')]);
    const later = await snapshotOf(host, [
      extension(
        "2.0.0",
        "importState: (state, seen) => void state.seen.push(...seen), exportState: async (state) => [...state.seen, 'two']",
      ),
    ]);
    later.takeOver(plain);
    await closed(plain);
    assert.deepEqual(stateIn(later), ["one"]);
    const last = await snapshotOf(host, [
      extension(
        "3.0.0",
        "importState: async (state, seen) => void state.seen.push(...seen), exportState: () => 1",
      ),
    ]);
    last.takeOver(later);
    await closed(later);
    assert.deepEqual(stateIn(last), ["one", "two"]);
    const refusing = await snapshotOf(host, [
      extension("4.0.0", 'importState() { throw new Error("not an array"); }'),
    ]);
    refusing.takeOver(last);
    assert.deepEqual(stateIn(refusing), []);
    assert.match(
      JSON.stringify(logged),
      /"plugin":"geo","from":"3\.0\.0\+[0-9a-f]{12}","version":"4\.0\.0\+/,
    );
    await Promise.all([closed(last), closed(refusing)]);
  });

  it("are refused with name and reason, and the policy with them", async () => {
    const host = hostWith([pluginWith("guard", {}, { priority: 11 })]);
    const refused = (extensions: readonly Extension[], message: RegExp): Promise<void> =>
      assert.rejects(snapshotOf(host, extensions), message);
    await refused(
      [bundleExtension({ code: "null.x" })],
      /^Error: extension "geo": geo@1\.0\.0, line 2: Cannot/,
    );
    await refused(
      [versionOf("1.0.0", { entry: { priority: 11 } })],
      /plugins "guard" and "geo" have the same priority 11: set extensions\.geo\.priority/,
    );
    const guard = { code: pluginCode("setup: () => ({})", { name: "guard" }), name: "guard" };
    await refused([bundleExtension(guard)], /two plugins have the name "guard"/);
    const failing = pluginCode('init() { throw new Error("no memory"); }, setup: () => ({})');
    await refused([bundleExtension({ code: failing })], /plugin "geo" on route \/\*: no memory/);
  });

  it("may have one priority where one replaces the other", async () => {
    const host = hostWith([]);
    const two = { ...versionOf("1.0.0"), name: "geo2" };
    const pair = [versionOf("1.0.0"), { ...two, entry: { ...two.entry, replaces: "geo" } }];
    await closed(await snapshotOf(host, pair));
  });

  it("are told of with version, digest, and where they are switched off", async () => {
    const extension = versionOf("1.0.0", { entry: { percent: 50 } });
    const snapshot = await snapshotOf(hostWith([]), [extension]);
    const [report, ...none] = snapshot.reports(() => true);
    const { sha256 } = extension.package;
    assert.deepEqual(
      [report, none],
      [
        {
          name: "geo",
          version: `1.0.0+${sha256.slice(0, 12)}`,
          runtime: "trusted",
          sha256,
          priority: 30,
          security: false,
          percent: 50,
          replaces: null,
          routes: 1,
          disabledRoutes: 1,
          quarantined: false,
          trouble: null,
          restarts: 0,
          memoryBytes: null,
          cpuShare: null,
          hooks: {},
        },
        [],
      ],
    );
    await closed(snapshot);
  });

  it("are at fault for what they start while they are loaded", async () => {
    Object.assign(globalThis, { faulty: () => pluginAtFault()?.name });
    const code = `const name = faulty(); ${pluginCode("setup: () => ({ documents: { state: () => JSON.stringify(name) } })")}`;
    const snapshot = await snapshotOf(hostWith([]), [bundleExtension({ code })]);
    assert.equal(stateIn(snapshot), "geo");
    await closed(snapshot);
  });

  it("have no hook that takes longer than the policy lets it", async () => {
    const hooks = "{ onRequest: () => new Promise(() => {}), timeLimitMs: { onRequest: 5_000 } }";
    const extension = bundleExtension({
      code: pluginCode(`setup: () => (${hooks})`),
      entry: { limits: { timeMs: 5 } },
    });
    const snapshot = await snapshotOf(hostWith([]), [extension]);
    const answer = await snapshot.routes[0]?.chain.request(exchangeOf());
    assert.equal(answer?.action === "reject" ? answer.error.code : "", "plugin_failed");
    await closed(snapshot);
  });

  it("get of what is shared what their manifests ask for", async () => {
    const host = hostWith([]);
    const code = pluginCode(`
      setup: ({ services }) => ({ documents: { secret: () => String(services.secrets.get("SECRET_A")) } })`);
    const documentOf = async (extension: Extension): Promise<string | undefined> =>
      (await snapshotOf(host, [extension])).document("/plugins/geo/secret");
    await assert.rejects(documentOf(bundleExtension({ code })), /SECRET_A/);
    const asking = bundleExtension({ code, manifest: { needs: { secrets: ["SECRET_A"] } } });
    assert.equal(await documentOf(asking), "undefined");
  });
});

// A snapshot's set-up and close with plugins that hang, fail, or finish too late.
import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import type { Hooks, Logger, PluginDefinition } from "../../../src/plugin-api/contract.ts";
import type { PluginHost } from "../../../src/runtime/plugin-host.ts";
import { createSnapshot, type Snapshot } from "../../../src/runtime/snapshot.ts";
import { hostWith, routeSpec } from "../../support/plugin-host.ts";
import { pluginWith } from "../../support/plugins.ts";

// The process's own log waits by a timer, and timers are mocked here.
let text = "";
const write = ({ err, ...fields }: Record<string, unknown>, message: string): void => {
  text += `${JSON.stringify(fields)} ${String(err)}: ${message}\n`;
};
const logger: Logger = { debug: write, info: write, warn: write, error: write };

const hostOf = (plugins: readonly PluginDefinition[]): PluginHost => hostWith(plugins, logger);

function snapshotOf(plugins: readonly PluginDefinition[], host = hostOf(plugins)): Promise<Snapshot> {
  const spec = {
    routes: [
      routeSpec(
        "/*",
        plugins.map(({ name }) => name),
      ),
    ],
    unmatched: routeSpec("", []),
  };
  return createSnapshot(spec, host, () => {});
}

/** Lets promises that are settled already go on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const logged = async (pattern: RegExp): Promise<void> => {
  for (let i = 0; i < 100 && !pattern.test(text); i += 1) await turn();
  assert.match(text, pattern);
};

describe("a snapshot", () => {
  it("closes every plugin, whatever the close of another does", async () => {
    const closed: string[] = [];
    const snapshot = await snapshotOf([
      pluginWith("hangs", { close: () => new Promise<never>(() => {}) }, { priority: 1 }),
      pluginWith("throws", { close: () => assert.fail("a bug") }, { priority: 2 }),
      pluginWith("well", { close: () => void closed.push("well") }, { priority: 3 }),
    ]);
    snapshot.retire();
    await logged(/"plugin":"throws".*plugin could not be closed/);
    assert.deepEqual(closed, ["well"]);
  });

  it("says which plugin does not end its close in time", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const hangs = pluginWith("hangs", { close: () => new Promise<never>(() => {}) });
      (await snapshotOf([hangs])).retire();
      mock.timers.tick(10_000);
      await logged(/"plugin":"hangs".*close took longer than 10000 ms/);
    } finally {
      mock.timers.reset();
    }
  });

  it("refuses a set-up that takes too long, and closes what still comes of it", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      let closed = 0;
      const late = Promise.withResolvers<Hooks>();
      const entered = Promise.withResolvers<void>();
      const plugin: PluginDefinition = {
        ...pluginWith("late", {}),
        setup: () => {
          entered.resolve();
          return late.promise;
        },
      };
      const refused = assert.rejects(snapshotOf([plugin]), /plugin "late" on route \/\*: set-up took longer/);
      await entered.promise;
      await turn();
      mock.timers.tick(10_000);
      await refused;
      late.resolve({ close: () => void (closed += 1) });
      await turn();
      assert.equal(closed, 1);
    } finally {
      mock.timers.reset();
    }
  });

  it("ends a set-up of routes that takes too long in all, and closes what was set up", async () => {
    let setUp = 0;
    let closed = 0;
    const plugin: PluginDefinition = {
      ...pluginWith("slow", {}),
      setup() {
        setUp += 1;
        for (const endMono = performance.now() + 20; performance.now() < endMono;);
        return { close: () => void (closed += 1) };
      },
    };
    const host = hostOf([plugin]);
    const routes = Array.from({ length: 100 }, (_, i) => routeSpec(`/${i}`, ["slow"]));
    const spec = { routes, unmatched: routeSpec("", []), limitMs: 50 };
    await assert.rejects(
      createSnapshot(spec, host, () => {}),
      /^Error: set-up took longer than 50 ms$/,
    );
    assert.ok(setUp > 0 && setUp < 50, `${setUp}`);
    assert.equal(closed, setUp);
  });

  it("refuses a set-up that returns no hooks, with the plugin's name", async () => {
    const plugin = { ...pluginWith("empty", {}), setup: (): Hooks => undefined as unknown as Hooks };
    await assert.rejects(snapshotOf([plugin]), /plugin "empty" on route \/\*: set-up returned no hooks/);
  });
});

describe("what a plugin keeps beyond a policy", () => {
  /** What was disposed of, in order. */
  let disposed: unknown[];
  const versioned = (version: string, facts: Partial<PluginDefinition> = {}): PluginDefinition => ({
    ...pluginWith("kept", {}),
    version,
    init: () => ({ version }),
    dispose: (state) => void disposed.push(state),
    setup: ({ state }) => ({ documents: { state: () => JSON.stringify(state) } }),
    ...facts,
  });
  const stateIn = (snapshot: Snapshot): unknown => JSON.parse(snapshot.document("/plugins/kept/state") ?? "");
  const closed = async (snapshot: Snapshot): Promise<void> => {
    snapshot.retire();
    await snapshot.closed;
    await turn();
  };

  it("is a version's own, and disposed of after the last exchange that has it", async () => {
    disposed = [];
    const [one, two] = [versioned("1.0.0"), versioned("2.0.0")];
    const host = hostOf([one]);
    const first = await snapshotOf([one], host);
    const second = await snapshotOf([one], host);
    await closed(first);
    assert.deepEqual(stateIn(second), { version: "1.0.0" });
    second.enter();
    host.register(two);
    const third = await snapshotOf([two], host);
    assert.deepEqual(stateIn(third), { version: "2.0.0" });
    second.retire();
    await turn();
    assert.deepEqual(disposed, []);
    second.leave();
    await second.closed;
    await turn();
    assert.deepEqual(disposed, [{ version: "1.0.0" }]);
    // Without users, but in force still.
    await closed(third);
    assert.equal(disposed.length, 1);
    await host.states.close();
    assert.deepEqual(disposed, [{ version: "1.0.0" }, { version: "2.0.0" }]);
  });

  it("outlives a policy whose other version could not be set up", async () => {
    disposed = [];
    const one = versioned("1.0.0");
    const host = hostOf([one]);
    const first = await snapshotOf([one], host);
    const broken = versioned("2.0.0", { setup: () => Promise.reject(new Error("not so")) });
    host.register(broken);
    await assert.rejects(snapshotOf([broken], host), /not so/);
    host.register(one);
    const again = await snapshotOf([one], host);
    await closed(first);
    assert.deepEqual(stateIn(again), { version: "1.0.0" });
    assert.deepEqual(disposed, [{ version: "2.0.0" }]);
    await closed(again);
    await host.states.close();
  });

  it("is disposed of once when the process closes, also while exchanges go on", async () => {
    disposed = [];
    const host = hostOf([versioned("1.0.0")]);
    const snapshot = await snapshotOf([versioned("1.0.0")], host);
    snapshot.enter();
    snapshot.retire();
    await host.states.close();
    snapshot.leave();
    await snapshot.closed;
    await host.states.close();
    assert.deepEqual(disposed, [{ version: "1.0.0" }]);
  });

  it("holds nothing up when its disposal throws or hangs", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const throws = versioned("1.0.0", { dispose: () => assert.fail("a bug") });
      const hangs = { ...versioned("1.0.1", { dispose: () => new Promise(() => {}) }), name: "hanging" };
      const host = hostOf([throws, hangs]);
      await snapshotOf([throws, hangs], host);
      const closing = host.states.close();
      await turn();
      mock.timers.tick(10_000);
      await closing;
    } finally {
      mock.timers.reset();
    }
    await logged(/"plugin":"kept".*could not be disposed of/);
    await logged(/"plugin":"hanging".*dispose took longer than 10000 ms/);
  });
});

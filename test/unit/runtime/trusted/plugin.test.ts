// JavaScript packages that run in this process: what is loaded, what is refused, and what remains of them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import type { Services } from "../../../../src/plugin-api/services.ts";
import { createTrustedPlugin } from "../../../../src/runtime/trusted/plugin.ts";
import { exchangeOf } from "../../../support/exchange.ts";
import { type BundleOptions, bundleExtension, pluginCode } from "../../../support/extensions.ts";

const load = (options: BundleOptions) => createTrustedPlugin(bundleExtension(options));
const setup = "setup: () => ({ onRequest() {} })";

describe("a package of JavaScript in this process", () => {
  it("is the plugin that it exports, with the priority and version of its entry and digest", () => {
    const extension = bundleExtension({ code: pluginCode(setup), entry: { priority: 33, failMode: "open" } });
    const { name, version, priority, failMode } = createTrustedPlugin(extension);
    assert.deepEqual([name, priority, failMode], ["geo", 33, "open"]);
    assert.equal(version, `1.0.0+${extension.package.sha256.slice(0, 12)}`);
  });

  it("may be the default export, or all that is exported", () => {
    const code = pluginCode(setup);
    for (const end of [
      "module.exports = { default: module.exports.plugin };",
      "module.exports = module.exports.plugin;",
    ])
      assert.equal(load({ code: `${code}\n${end}` }).name, "geo");
  });

  it("may be an object of a class, as may its hooks", async () => {
    const code = `${pluginCode(setup)}
      class Hooks { #mark = "mark"; onRequest() { return this.#mark; } }
      class Geo {
        #kept = ["kept"];
        constructor(facts) { Object.assign(this, facts); delete this.setup; }
        init() { return this.#kept; }
        exportState(state) { return [...state, ...this.#kept]; }
        setup() { return new Hooks(); }
      }
      module.exports.plugin = new Geo(module.exports.plugin);`;
    const plugin = load({ code });
    const state = plugin.init?.({} as Services);
    assert.deepEqual([state, await plugin.exportState?.(state)], [["kept"], ["kept", "kept"]]);
    const hooks = await plugin.setup({} as Parameters<typeof plugin.setup>[0]);
    assert.equal(hooks.onRequest?.(exchangeOf()), "mark");
  });

  it("requires what Node brings and the contract, and no package", () => {
    const node = `const { createHash } = require("node:crypto"); require("fs").readFileSync; createHash("sha256");`;
    assert.equal(load({ code: `${node}\n${pluginCode(setup)}` }).name, "geo");
    assert.throws(
      () => load({ code: 'require("lodash");' }),
      /^Error: geo@1\.0\.0, line 2: .*requires "lodash": a package has what it needs inside/,
    );
  });

  it("is refused with its name and the line when it throws or cannot be read", () => {
    assert.throws(() => load({ code: '\n\nthrow new Error("no map");' }), {
      message: "geo@1.0.0, line 4: no map",
    });
    assert.throws(() => load({ code: "\nlet x = ;" }), /^Error: geo@1\.0\.0, line 3: Unexpected token/);
    assert.throws(() => load({ code: "throw Object.create(null);" }), {
      message: "geo@1.0.0: an error without text",
    });
    assert.throws(() => load({ code: "module.exports = 1;" }), /geo@1\.0\.0 exports no plugin/);
  });

  it("is refused when it is another than its manifest says", () => {
    const lies: readonly [BundleOptions, RegExp][] = [
      [{ code: pluginCode(setup, { name: "other" }) }, /its name is "other", not "geo"/],
      [{ code: pluginCode(setup, { version: "1.0.1" }) }, /its version is "1\.0\.1", not "1\.0\.0"/],
      [{ code: pluginCode(setup, { priority: 5 }) }, /its priority is 5, not 30/],
      [{ code: pluginCode(setup, { security: true }) }, /its security is true, not false/],
      [{ code: pluginCode(setup, { apiVersion: 2 }) }, /its apiVersion is 2, not 1/],
      [{ code: pluginCode(`${setup}, cookies: () => []`) }, /it has cookies, which only a built-in/],
      [
        { code: pluginCode(`${setup}, needs: { keys: ["apikey:"] }`) },
        /it needs apikey:, which is not in its keys/,
      ],
      [
        { code: pluginCode(`${setup}, needs: { secrets: ["SECRET_A"] }`) },
        /it needs SECRET_A, which is not in its secrets/,
      ],
      [{ code: pluginCode(`${setup}, needs: { hosts: ["*"] }`) }, /it needs \*, which is not in its hosts/],
      [{ code: pluginCode(`${setup}, needs: { database: "SECRET_D" }`) }, /it needs the database SECRET_D/],
      [{ code: pluginCode(`${setup}, needs: { seals: ["auth"] }`) }, /it needs seals, which only/],
    ];
    for (const [options, message] of lies) assert.throws(() => load(options), message);
    const asked = {
      keys: ["apikey:"],
      secrets: ["SECRET_A"],
      hosts: ["geo.example:443"],
      database: "SECRET_D",
    };
    const code = pluginCode(`${setup}, needs: ${JSON.stringify(asked)}`);
    assert.deepEqual(load({ code, manifest: { needs: asked } }).needs, asked);
  });

  it("has no hook that its manifest does not name", async () => {
    const hooks: Pick<BundleOptions, "manifest"> = { manifest: { hooks: ["onResponse"] } };
    const silent = load({ code: pluginCode("setup: () => ({ onResponse() {} })"), ...hooks });
    const input = {} as Parameters<typeof silent.setup>[0];
    assert.deepEqual(Object.keys(await silent.setup(input)), ["onResponse"]);
    const lying = load({ code: pluginCode(setup), ...hooks });
    await assert.rejects(async () => lying.setup(input), /its manifest does not name the hook onRequest/);
  });

  it("has its hooks closed where they are refused, and is refused for what it is where it cannot close them", async () => {
    const closed: string[] = [];
    Object.assign(globalThis, { closedByTest: closed });
    for (const close of ["closedByTest.push(this.of)", "throw new Error(closedByTest.push(this.of))"]) {
      const made = `setup: () => ({ of: "timer", onRequest() {}, close() { ${close} } })`;
      const lying = load({ code: pluginCode(made), manifest: { hooks: ["onResponse"] } });
      const input = {} as Parameters<typeof lying.setup>[0];
      await assert.rejects(async () => lying.setup(input), /its manifest does not name the hook onRequest/);
    }
    assert.deepEqual(closed, ["timer", "timer"]);
  });

  it("leaves nothing behind once it is out of use, however many versions are loaded", () => {
    const program = `
      import { createTrustedPlugin } from "./src/runtime/trusted/plugin.ts";
      import { bundleExtension, pluginCode } from "./test/support/extensions.ts";
      const padding = Array.from({ length: 1_000 }, (_, i) => "function f" + i + "(a) { return [a, " + i + "]; }").join("\\n");
      const load = (i) => createTrustedPlugin(bundleExtension({
        code: padding + "\\nconst kept = Array.from({ length: 20_000 }, (_, n) => n + " + i + ");\\n" +
          ${JSON.stringify(pluginCode("setup: () => ({ onRequest: () => f1(kept) })"))},
      }));
      const heap = async () => {
        for (let i = 0; i < 5; i += 1) { gc(); await new Promise((resolve) => setImmediate(resolve)); }
        return process.memoryUsage().heapUsed;
      };
      for (let i = 0; i < 20; i += 1) load(-i);
      const before = await heap();
      for (let i = 0; i < 200; i += 1) load(i);
      console.log(((await heap()) - before) / 200);`;
    const args = ["--expose-gc", "--input-type=module", "--eval", program];
    const text = execFileSync(process.execPath, args, { encoding: "utf8", timeout: 60_000 });
    assert.ok(Number(text) < 5_000, `${text.trim()} bytes a load`);
  });
});

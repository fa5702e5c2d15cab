// What every plugin of the registry keeps to, and the example of plugins/README.md at work.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { registry } from "../../plugins/index.ts";
import type { PluginDefinition } from "../../src/plugin-api/contract.ts";
import { optionsTable, outlineOptions } from "../support/options-table.ts";
import { loadReadmeExample } from "../support/readme-example.ts";
import { startSidecar } from "../support/sidecar.ts";

const folder = join(import.meta.dirname, "../../plugins");

/** The run order, complete. A new plugin, or another priority, shows here first. */
const order: readonly (readonly [number, string])[] = [
  [5, "logging"],
  [8, "cors"],
  [10, "auth"],
  [15, "rate-limit"],
  [20, "cache"],
  [50, "transform"],
];

test("plugins run in exactly this order, and no two share a priority", () => {
  const actual = registry
    .map(({ priority, name }) => [priority, name] as const)
    .toSorted(([a], [b]) => a - b);
  assert.deepEqual(actual, order);
  assert.equal(new Set(registry.map(({ priority }) => priority)).size, registry.length);
});

test("every plugin has its folder, and the README lists it with its priority", () => {
  const folders = readdirSync(folder).filter((name) => existsSync(join(folder, name, "index.ts")));
  const names = registry.map(({ name }) => name);
  assert.deepEqual(folders.toSorted(), names.toSorted());
  const readme = readFileSync(join(folder, "README.md"), "utf8");
  const rows = [...readme.matchAll(/^\| \[`([a-z-]+)`\]\(([a-z-]+)\/README\.md\) \| (\d+) \|/gm)];
  assert.deepEqual(
    rows.map(([, name, target, priority]) => [name, target, Number(priority)]),
    order.map(([priority, name]) => [name, name, priority]),
  );
});

for (const plugin of registry) {
  test(`${plugin.name}: follows the contract's form`, () => followsForm(plugin));
  test(`${plugin.name}: brings commands that say what they do`, async () => {
    for (const { name, about, commands } of (await plugin.commands?.()) ?? []) {
      assert.match(name, /^[a-z][a-z-]*$/);
      for (const each of [{ name, about }, ...commands]) assert.match(each.about, /^[a-z][^\n]{4,}[^.]$/);
      for (const { options } of commands) {
        const rows = Object.values(options);
        assert.ok(rows.filter(({ positional }) => positional).length < 2);
        for (const { about: text } of rows) assert.match(text, /^[^\n]{4,}[^.]$/);
      }
    }
  });
  test(`${plugin.name}: starts with no options and refuses unknown ones at every depth`, () => {
    assert.ok(plugin.options.safeParse({}).success);
    const refusal = plugin.options.safeParse({ nosuch: 1 });
    assert.deepEqual(
      refusal.error?.issues.map(({ code }) => code),
      ["unrecognized_keys"],
    );
    assert.deepEqual(outlineOptions(plugin.options).lax, []);
    for (const wrong of [null, [], "x", 1]) assert.equal(plugin.options.safeParse(wrong).success, false);
  });
  test(`${plugin.name}: describes every option, and its README has that very table`, () => {
    const { rows } = outlineOptions(plugin.options);
    assert.ok(rows.length > 0);
    for (const { path, description } of rows) assert.match(description, /^[^\n]{5,}$/, path);
    for (const row of rows) {
      if (!/[.[]/.test(row.path)) assert.notEqual(row.default, "required", row.path);
    }
    const readme = readFileSync(join(folder, plugin.name, "README.md"), "utf8");
    const section = readme.split(/^## /m).find((text) => text.startsWith("Options\n")) ?? "";
    const table = section.split("\n\n")[1]?.trimEnd();
    assert.equal(
      table,
      optionsTable(plugin.options),
      `see node test/support/options-table.ts ${plugin.name}`,
    );
  });
}

function followsForm(plugin: PluginDefinition): void {
  assert.match(plugin.name, /^[a-z][a-z0-9-]*$/);
  assert.match(plugin.version, /^\d+\.\d+\.\d+$/);
  assert.equal(plugin.apiVersion, 1);
  assert.ok(Number.isInteger(plugin.priority) && plugin.priority >= 0);
  assert.equal(plugin.security ? plugin.failMode : "closed", "closed");
  for (const [name, { about }] of Object.entries(plugin.secrets ?? {}))
    assert.match(about, /^[A-Z].{10}/, name);
  // The policy gives every plugin a failMode of its own.
  assert.ok(!outlineOptions(plugin.options).rows.some(({ path }) => path === "failMode"));
}

test("the example of the README follows the same form", async () => {
  const example = await loadReadmeExample();
  followsForm(example);
  const { rows, lax } = outlineOptions(example.options);
  assert.deepEqual(lax, []);
  for (const { path, description } of rows) assert.match(description, /^[^\n]{5,}$/, path);
  const others = registry.filter(({ name }) => name !== example.name);
  assert.ok(!others.some(({ priority }) => priority === example.priority));
});

test("the example of the README works as it says", async () => {
  const sidecar = await startSidecar({
    policy: { plugins: ["maintenance"], pluginConfig: { maintenance: { retryAfterSeconds: 5 } } },
    upstream: (_request, response) => response.end("service"),
    registry: [...registry, await loadReadmeExample()],
  });
  try {
    const read = await fetch(sidecar.url);
    assert.deepEqual([read.status, await read.text()], [200, "service"]);
    const change = await fetch(sidecar.url, { method: "POST", body: "x" });
    assert.deepEqual([change.status, await change.text()], [503, "Back soon."]);
    assert.equal(change.headers.get("retry-after"), "5");
    assert.equal(change.headers.get("x-maintenance"), "on");
    assert.match(await sidecar.metrics(), /^outrigger_maintenance_total\{.*route="\/\*".*\} 1$/m);
  } finally {
    await sidecar.stop();
  }
});

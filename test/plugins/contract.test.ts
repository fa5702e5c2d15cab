// The rules that every plugin of the registry follows, and the example of plugins/README.md in operation.
import assert from "node:assert/strict";
import { existsSync, globSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { registry } from "../../plugins/index.ts";
import { problemsOf } from "../../src/testing/plugin-form.ts";
import { optionsTable, outlineOptions } from "../support/options-table.ts";
import { startNode } from "../support/process.ts";
import { writeReadmeExample } from "../support/readme-example.ts";

const folder = join(import.meta.dirname, "../../plugins");

/** The run order, complete. A new plugin, or another priority, shows here first. */
const order: readonly (readonly [number, string])[] = [
  [5, "logging"],
  [6, "redirect"],
  [7, "ip-filter"],
  [8, "cors"],
  [9, "respond"],
  [10, "auth"],
  [11, "csrf"],
  [12, "ext-auth"],
  [15, "rate-limit"],
  [17, "score"],
  [18, "validate"],
  [20, "cache"],
  [50, "transform"],
  [51, "compress"],
  [52, "body-transform"],
  [55, "security-headers"],
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
  test(`${plugin.name}: follows the contract's form`, () => {
    assert.deepEqual(problemsOf(plugin), []);
  });
  test(`${plugin.name}: its folder has its parts where every plugin has them`, async () => {
    const name = plugin.name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    const load = async (file: string): Promise<Record<string, unknown>> =>
      (await import(join(folder, plugin.name, file))) as Record<string, unknown>;
    assert.equal((await load("index.ts"))[name], plugin);
    assert.equal((await load("options.ts"))[`${name}Options`], plugin.options);
    const rules = await plugin.lint?.();
    if (rules !== undefined) assert.equal((await load("lint.ts"))["lint"], rules);
    if (plugin.commands !== undefined)
      assert.equal((await load("commands.ts"))["commands"], await plugin.commands());
  });
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

test("a plugin declares each metric once, in its metrics.ts", () => {
  const declared = globSync("**/*.ts", { cwd: folder }).flatMap((path) => {
    const text = readFileSync(join(folder, path), "utf8");
    return [...text.matchAll(/\.(?:counter|gauge|histogram)\(\s*"(\w+)"/g)].map(([, name]) => ({
      path,
      name,
    }));
  });
  assert.ok(declared.length > 10);
  assert.deepEqual(
    declared.filter(({ path }) => !/^[a-z-]+\/metrics\.ts$/.test(path)),
    [],
  );
  assert.equal(new Set(declared.map(({ name }) => name)).size, declared.length);
});

test("the example of the README has a place of its own in the order", async () => {
  using written = writeReadmeExample();
  const example = await written.load();
  assert.deepEqual(problemsOf(example), []);
  const others = registry.filter(({ name }) => name !== example.name);
  assert.ok(!others.some(({ priority }) => priority === example.priority));
});

test("the example of the README works as it says: its own test passes", async () => {
  using written = writeReadmeExample();
  const { code, stdout } = await startNode(["--test", join(written.folder, "**/*.test.ts")]).end;
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^ℹ pass 3$/m);
});

test("the types of the example of the README are found and right", async () => {
  using written = writeReadmeExample();
  const settings = { extends: "../tsconfig.json", include: ["."] };
  writeFileSync(join(written.folder, "tsconfig.json"), JSON.stringify(settings));
  writeFileSync(
    join(written.folder, "wrong.ts"),
    'import { definePlugin } from "outrigger/plugin";\ndefinePlugin({ name: 7 });\n',
  );
  // Only these files: a run of tsc would check all of this project behind their imports as well.
  const files = globSync("**/*.ts", { cwd: written.folder }).map((file) => join(written.folder, file));
  assert.equal(files.length, 3);
  const oxlint = join(folder, "../node_modules/oxlint/bin/oxlint");
  const args = ["--no-ignore", "--type-aware", "--type-check", "-A", "all", "--format", "unix"];
  const { stdout } = await startNode([oxlint, ...args, ...files]).end;
  const problems = stdout.split("\n").filter((line) => / \[Error\//.test(line));
  // The example has none, and what is wrong is seen.
  assert.ok(problems.length > 0 && problems.every((line) => /^\S*wrong\.ts:\S* .*TS2322/.test(line)), stdout);
});

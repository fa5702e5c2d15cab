// The table of layers: the code follows it, every entry is in use, and each row refuses what it should.
import assert from "node:assert/strict";
import { dirname, relative } from "node:path";
import { test } from "node:test";
import { allowance, importsOf, layerProblems, roomOf, rooms, sourceFiles } from "./support/layers.ts";

const files = sourceFiles();

test("every import is one that the table has, and there is no circle, types and import() counted", () => {
  assert.deepEqual(layerProblems(files), []);
});

test("every entry of the table is in use", () => {
  const used = new Set<string>();
  for (const [path, text] of files) {
    const from = roomOf(path);
    assert.ok(from !== undefined, path);
    for (const imported of importsOf(path, text)) {
      const name =
        allowance(from, imported) ?? from.packages.find((each) => `${imported}/`.startsWith(`${each}/`));
      used.add(`${from.files} -> ${name}`);
    }
  }
  const unused = rooms.flatMap(({ files: name, imports, packages }) =>
    [...imports, ...packages].map((entry) => `${name} -> ${entry}`).filter((entry) => !used.has(entry)),
  );
  assert.deepEqual(unused, []);
});

test("messages of node:http's server are known to the adapter over it alone", () => {
  const knowing = [...files].filter(
    ([path, text]) =>
      /^src\/(client|exchange|http1|routing|runtime|server|upstream)\//.test(path) &&
      !path.startsWith("src/server/http1/") &&
      /\bServerResponse\b|\bIncomingMessage\b/.test(text),
  );
  // Clients of node:http: what a service answered.
  const answers = ["src/exchange/upgrade.ts", "src/runtime/services/http/"];
  assert.deepEqual(
    knowing.map(([path]) => path).filter((path) => !answers.some((answer) => path.startsWith(answer))),
    [],
  );
});

const forms: readonly ((name: string) => string)[] = [
  (name) => `import { x } from "${name}";`,
  (name) => `import type { X } from "${name}";`,
  (name) => `import "${name}";`,
  (name) => `export * from "${name}";`,
  (name) => `export type { X } from '${name}';`,
  (name) => `const x = async () => import("${name}");`,
  (name) => `let x: import("${name}").X;`,
];

/** A file of a room, as it might be added. */
const plantedIn = (room: string): string =>
  room.endsWith(".ts") ? room : `${room.replace("*", "planted")}${room.endsWith("/") ? "" : "-"}planted.ts`;

for (const from of rooms) {
  test(`${from.files}: an import from any room that its row does not name is refused, in every form`, () => {
    const path = plantedIn(from.files);
    assert.equal(roomOf(path), from);
    for (const other of rooms) {
      const target = plantedIn(other.files);
      if (other === from || allowance(from, target) !== undefined) continue;
      const relativePath = relative(dirname(path), target);
      const name = relativePath.startsWith(".") ? relativePath : `./${relativePath}`;
      for (const form of forms) {
        const problems = layerProblems(new Map([[path, form(name)]]));
        assert.deepEqual(problems, [`${path} may not import ${target}`], form(name));
      }
    }
    for (const form of forms) {
      assert.deepEqual(layerProblems(new Map([[path, form("@left/pad/x")]])), [
        `${path} may not import the package @left/pad`,
      ]);
      assert.deepEqual(layerProblems(new Map([[path, form("node:fs")]])), []);
    }
  });
}

test("of src, the registry alone knows plugins", () => {
  const knowing = rooms.filter(
    ({ files: name, imports }) =>
      name.startsWith("src/") && imports.some((each) => each.startsWith("plugins/")),
  );
  assert.deepEqual(
    knowing.map(({ files: name }) => name),
    ["src/app/registry.ts"],
  );
});

test("nothing that serves imports the test kit, by whatever name", () => {
  // The kit of authors runs plugins in a process of its own, by it; nothing imports that process's program.
  const serving = rooms.filter(({ files: name }) => !["src/testing/", "src/kit/process/"].includes(name));
  for (const kit of ["src/testing/", "src/kit/process/"])
    assert.ok(!serving.some(({ imports }) => imports.some((each) => each.startsWith(kit))), kit);
  for (const name of ["outrigger/plugin/testing", "../../src/testing/clock.ts"])
    assert.equal(layerProblems(new Map([["plugins/auth/planted.ts", `import "${name}";`]])).length, 1, name);
  assert.deepEqual(layerProblems(new Map([["plugins/auth/planted.ts", 'import "outrigger/plugin";']])), []);
  assert.equal(layerProblems(new Map([["src/redis/planted.ts", 'import "outrigger/plugin";']])).length, 1);
});

test("plugins do not know each other, nor more of the pipeline than the contract", () => {
  for (const name of [
    "../cache/index.ts",
    "../../src/runtime/step.ts",
    "../../src/app/registry.ts",
    "../index.ts",
  ])
    assert.equal(layerProblems(new Map([["plugins/auth/planted.ts", `import "${name}";`]])).length, 1, name);
});

test("what is in no room, computed, or goes in a circle is refused", () => {
  assert.match(
    layerProblems(new Map([["src/new/a.ts", 'import "./b.ts";']])).join(),
    /src\/new\/a\.ts is in no room/,
  );
  assert.match(
    layerProblems(new Map([["src/exchange/a.ts", "const x = (name: string) => import(name);"]])).join(),
    /imports what is computed/,
  );
  const circle = new Map([
    ["src/cli/a.ts", 'const b = () => import("./b.ts");'],
    ["src/cli/b.ts", 'import type { A } from "./a.ts";'],
  ]);
  assert.deepEqual(layerProblems(circle), ["a circle: src/cli/a.ts -> src/cli/b.ts -> src/cli/a.ts"]);
});

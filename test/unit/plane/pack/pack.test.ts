// Packs an author's folder into one file.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { openPackage } from "../../../../src/extensions/package.ts";
import { pack } from "../../../../src/plane/pack/pack.ts";
import { emptyModule } from "../../extensions/sample-packages.ts";

const root = mkdtempSync(join(tmpdir(), "outrigger-pack-test-"));
after(() => rmSync(root, { recursive: true }));
let folders = 0;

function folderOf(files: Readonly<Record<string, string | Buffer>>): string {
  const folder = join(root, String(folders++));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const code = (facts = "", before = ""): string => `
import { definePlugin, z } from "outrigger/plugin";
import { greeting } from "./greeting.ts";
${before}
export const plugin = definePlugin({
  name: "geo", version: "1.2.0", apiVersion: 1, priority: 41, security: false, failMode: "open",
  options: z.strictObject({ field: z.string().default("x-geo").describe("Field that is set") }),
  needs: { keys: ["places:"] },
  ${facts}
  setup: ({ options }) => ({ onRequest: (exchange) => void exchange.request.headers.set(options.field, greeting) }),
});`;
const greeting = "export const greeting: string = `hello`;";
const sources = { "plugin.ts": code(), "greeting.ts": greeting };

test("TypeScript becomes one file with what it imports, and the manifest that its definition says", async () => {
  const folder = folderOf({
    ...sources,
    "manifest.json": JSON.stringify({
      description: "Says where",
      hooks: ["onRequest"],
      needs: { hosts: ["geo.example:443"] },
    }),
  });
  const { manifest, kind, bytes, sha256 } = await pack(folder);
  assert.equal(kind, "js");
  assert.equal(openPackage(bytes).sha256, sha256);
  const text = bytes.toString();
  assert.match(text, /hello/);
  assert.match(text, /require\("outrigger\/plugin"\)/);
  assert.doesNotMatch(text, /definePlugin =|greeting\.ts"\)/);
  const { name, version, apiVersion, priority, failMode, description, hooks, needs, options } = manifest;
  assert.deepEqual(
    [name, version, apiVersion, priority, failMode, description, hooks],
    ["geo", "1.2.0", "^1.0.0", 41, "open", "Says where", ["onRequest"]],
  );
  assert.deepEqual([needs.hosts, needs.keys], [["geo.example:443"], ["places:"]]);
  assert.deepEqual(options["properties"], {
    field: { default: "x-geo", description: "Field that is set", type: "string" },
  });
});

test("the same sources are the same package, wherever they lie", async () => {
  const [here, there] = [folderOf(sources), folderOf(sources)];
  assert.equal((await pack(here)).sha256, (await pack(join(there, "plugin.ts"))).sha256);
});

test("a module gets its manifest as a section; its version may stand in package.json", async () => {
  const folder = folderOf({
    "plugin.wasm": emptyModule,
    "manifest.json": JSON.stringify({ name: "geo", priority: 12 }),
    "package.json": JSON.stringify({ version: "0.3.1" }),
  });
  const { kind, manifest, bytes } = await pack(folder);
  assert.deepEqual([kind, manifest.name, manifest.version, manifest.priority], ["wasm", "geo", "0.3.1", 12]);
  assert.deepEqual(bytes.subarray(0, emptyModule.length), emptyModule);
});

const refused: readonly [what: string, files: Readonly<Record<string, string>>, message: RegExp][] = [
  ["a folder without code", { "README.md": "x" }, /holds none of plugin.ts/],
  ["a main that is not there", { "package.json": '{"main":"lib/x.js"}' }, /names "lib\/x.js" as main/],
  ["code that is none", { ...sources, "greeting.ts": "export const = 1" }, /cannot be bundled/],
  [
    "an import that is not there",
    { "plugin.ts": 'import x from "nothing-of-the-kind"; export const plugin = x;' },
    /nothing-of-the-kind/,
  ],
  ["code without a plugin", { "plugin.ts": "export const a = 1;" }, /cannot be loaded: .*exports no plugin/],
  [
    "code that throws",
    { ...sources, "plugin.ts": code("", 'throw new Error("no licence");') },
    /cannot be loaded: .*no licence/,
  ],
  [
    "code that ends the process",
    { ...sources, "plugin.ts": code("", "process.exit(7);") },
    /cannot be loaded: it ended the process with 7/,
  ],
  [
    "a manifest that says otherwise",
    { ...sources, "manifest.json": '{"priority":3}' },
    /the manifest says priority 3, and the code 41/,
  ],
  ["a manifest that is not JSON", { ...sources, "manifest.json": "{" }, /manifest.json is not JSON/],
];
for (const [what, files, message] of refused)
  test(`refused: ${what}`, async () => {
    await assert.rejects(pack(folderOf(files)), { name: "PackError", message });
  });

test("code that is packed can neither write, nor start anything, nor see the environment", async () => {
  const mark = join(root, "mark");
  const attempts = [
    `require("node:fs").writeFileSync(${JSON.stringify(mark)}, "x")`,
    `require("node:child_process").execFileSync("/usr/bin/touch", [${JSON.stringify(mark)}])`,
  ];
  for (const attempt of attempts) {
    const folder = folderOf({ "plugin.js": `${attempt};\nexports.plugin = {};\n` });
    await assert.rejects(pack(folder), /cannot be loaded/);
  }
  assert.equal(existsSync(mark), false);
  const told = folderOf({
    "plugin.js": "throw new Error(JSON.stringify(Object.keys(process.env)));\nexports.a = 1;",
  });
  await assert.rejects(pack(told), (error: Error) => {
    assert.doesNotMatch(error.message, /PATH|HOME/);
    return true;
  });
});

test("what the code asks for is asked for in the manifest, and what is in the wrong place is told", async () => {
  const needs = 'needs: { hosts: ["geo.example:443"], database: "SECRET_GEO_URL" },';
  const asking = code().replace('needs: { keys: ["places:"] },', needs);
  const { manifest } = await pack(folderOf({ ...sources, "plugin.ts": asking }));
  assert.deepEqual([manifest.needs.hosts, manifest.needs.database], [["geo.example:443"], "SECRET_GEO_URL"]);
  const misplaced = folderOf({ ...sources, "plugin.ts": code('ownedRequestFields: ["x-geo"],') });
  await assert.rejects(pack(misplaced), /ownedRequestFields: belongs in what setup returns/);
});

// `plugin init` writes what is in the folder `hello` beside this file: there the type check and the linter see it, and
// its test runs. `node test/unit/kit/init.test.ts --write` accepts an intended change.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { manifest } from "../../../src/extensions/manifest.ts";
import { tsFiles } from "../../../src/kit/template-ts.ts";
import { wasmFiles } from "../../../src/kit/template-wasm.ts";

const kept = ["index.ts", "index.test.ts"];
const template = { name: "hello", outrigger: "file:../outrigger" };
const fileOf = (name: string): string => join(import.meta.dirname, "hello", name);
const files = tsFiles(template);
if (process.argv.includes("--write")) for (const name of kept) writeFileSync(fileOf(name), files[name] ?? "");

test("TypeScript as it is checked here", () => {
  for (const name of kept) assert.equal(files[name], readFileSync(fileOf(name), "utf8"), name);
});

test("manifests, policies and packages of both kinds are sound, whatever the name", () => {
  for (const written of [
    tsFiles({ ...template, name: "my-own-2" }),
    wasmFiles({ ...template, name: "my-own-2" }),
  ]) {
    const json = (name: string): Record<string, unknown> =>
      JSON.parse(written[name] ?? "") as Record<string, unknown>;
    const { version, devDependencies } = json("package.json") as {
      version: string;
      devDependencies: Record<string, string>;
    };
    manifest.parse({ name: "my-own-2", version, ...json("manifest.json") });
    assert.equal(devDependencies["outrigger"], template.outrigger);
    assert.ok(Object.values(devDependencies).every((each) => each.length > 0));
    assert.deepEqual(Object.keys(json("policy.json")["extensions"] as object), ["my-own-2"]);
    assert.match(written["index.ts"] ?? written["assembly/index.ts"] ?? "", /^\/\/ The my-own-2 /);
  }
});

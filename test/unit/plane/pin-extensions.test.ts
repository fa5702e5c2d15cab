// The versions and digests that `policy apply` pins.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createFileSource } from "../../../src/extensions/file-source.ts";
import { digestOf, openPackage } from "../../../src/extensions/package.ts";
import { PackagesRefused, PackageStore } from "../../../src/extensions/package-store.ts";
import { signPackage } from "../../../src/plane/package-signature.ts";
import { pinExtensions } from "../../../src/plane/pin-extensions.ts";
import { writeSigningKey } from "../../../src/plane/private-key.ts";
import { importKeys } from "../../../src/policy/signature/verify-keys.ts";
import { bundleOf, entryOf, moduleOf } from "../extensions/sample-packages.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-pins-"));
after(() => rmSync(folder, { recursive: true }));
const ours = await writeSigningKey(join(folder, "ours.json"));
const theirs = await writeSigningKey(join(folder, "theirs.json"));
const nowMs = Date.now();
const asked = { trusted: await importKeys({ keys: [ours.publicJwk] }), nowMs };
const store = new PackageStore({
  sources: { file: createFileSource(folder) },
  dir: undefined,
  onTrouble: assert.fail,
});

async function put(file: string, bytes: Buffer, key?: typeof ours): Promise<void> {
  writeFileSync(join(folder, file), bytes);
  if (key === undefined) return;
  writeFileSync(join(folder, `${file}.sig`), await signPackage(openPackage(bytes), key, { nowMs }));
}

test("a range becomes a version and its digest, a digest that is there stays", async () => {
  await put("geo@1.2.0.wasm", moduleOf(), ours);
  await put("geo@1.3.0.wasm", moduleOf({ version: "1.3.0" }), ours);
  const source = `file:${folder}`;
  const ranged = { geo: entryOf({ source, version: "^1.0.0" }) };
  const geo = (await pinExtensions(store, ranged, asked)).get("geo");
  assert.deepEqual([geo?.version, geo?.sha256], ["1.3.0", digestOf(moduleOf({ version: "1.3.0" }))]);
  const fixed = { geo: entryOf({ source, version: "1.2.0", sha256: digestOf(moduleOf()) }) };
  assert.equal((await pinExtensions(store, fixed, asked)).get("geo")?.version, "1.2.0");
});

test("with keys, unsigned and signed by a stranger are refused, each by its name; without, nothing is asked", async () => {
  await put("bare@1.0.0.wasm", moduleOf({ name: "bare", version: "1.0.0" }));
  await put("odd@1.0.0.cjs", bundleOf({ name: "odd", version: "1.0.0" }), theirs);
  const source = `file:${folder}`;
  const entries = {
    bare: entryOf({ source }),
    geo: entryOf({ source }),
    gone: entryOf({ source }),
    odd: entryOf({ source, runtime: "process" }),
  };
  await assert.rejects(pinExtensions(store, entries, asked), (error) => {
    assert.ok(error instanceof PackagesRefused);
    const lines = error.problems.map(({ name, message }) => `${name}: ${message}`);
    assert.match(lines[0] ?? "", /^bare: bare@1.0.0 is not signed/);
    assert.match(lines[1] ?? "", /^gone: .*has no version within "\*": it has none/);
    assert.match(
      lines[2] ?? "",
      /^odd: the signature of odd@1.0.0 was made by none of OUTRIGGER_POLICY_KEYS/,
    );
    return lines.length === 3;
  });
  const { gone: _, ...others } = entries;
  assert.equal((await pinExtensions(store, others, { trusted: undefined, nowMs })).size, 3);
});

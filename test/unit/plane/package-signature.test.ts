// Signatures of packages: whose signatures count, and for which packages.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openPackage } from "../../../src/extensions/package.ts";
import { digestIn, packageType, signPackage, vouchedFor } from "../../../src/plane/package-signature.ts";
import { writeSigningKey } from "../../../src/plane/private-key.ts";
import { signDocument } from "../../../src/plane/sign.ts";
import { importKeys } from "../../../src/policy/signature/verify-keys.ts";
import { moduleOf } from "../extensions/sample-packages.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-signatures-"));
after(() => rmSync(folder, { recursive: true }));
const ours = await writeSigningKey(join(folder, "ours.json"));
const theirs = await writeSigningKey(join(folder, "theirs.json"));
const trusted = await importKeys({ keys: [ours.publicJwk] });
const geo = openPackage(moduleOf());
const nowMs = 1_800_000_000_000;

const stateOf = async (
  signature: string | undefined,
  found = geo,
  keys: typeof trusted | undefined = trusted,
) => (await vouchedFor(found, signature, keys, nowMs)).state;

test("a signature by a key that counts is one, over these bytes, for this name and version", async () => {
  const signature = await signPackage(geo, ours, { nowMs });
  assert.equal(digestIn(signature), geo.sha256);
  assert.deepEqual(await vouchedFor(geo, signature, trusted, nowMs), { state: "signed", kid: ours.kid });
  assert.equal(await stateOf(signature, openPackage(moduleOf({ version: "1.3.0" }))), "refused");
  assert.equal(await stateOf(signature, openPackage(moduleOf({ name: "other" }))), "refused");
  assert.equal(await stateOf(signature, openPackage(moduleOf({ description: "another" }))), "refused");
});

test("unsigned, signed by a stranger, over, of another kind, cut off: each is refused by what it is", async () => {
  assert.equal(await stateOf(undefined), "unsigned");
  assert.equal(await stateOf(await signPackage(geo, theirs, { nowMs })), "refused");
  assert.equal(await stateOf(await signPackage(geo, ours, { nowMs, exp: nowMs / 1000 - 1 })), "refused");
  const { sha256 } = geo;
  const facts = { typ: packageType, for: "plugin:geo@1.2.0" };
  const payload = { sha256, name: "geo", version: "1.2.0" };
  for (const [document, changed] of [
    [payload, { typ: "outrigger-api-key+jws" }],
    [payload, { for: "plugin:other@1.2.0" }],
    [{ ...payload, sha256: "0".repeat(64) }, {}],
    ["text", {}],
  ] as const)
    assert.equal(
      await stateOf(await signDocument(document, ours, { ...facts, ...changed }, nowMs)),
      "refused",
    );
  const signature = await signPackage(geo, ours, { nowMs });
  for (const text of ["", "x", signature.slice(0, -4), `${signature}.x`])
    assert.equal(await stateOf(text), "refused");
});

test("where nobody asks for signatures there is one or none", async () => {
  const signature = await signPackage(geo, theirs, { nowMs });
  assert.equal((await vouchedFor(geo, signature, undefined, nowMs)).state, "unchecked");
  assert.equal((await vouchedFor(geo, undefined, undefined, nowMs)).state, "unsigned");
});

// The guests of the proxy-wasm tests: modules of the requested ABI version, compiled once.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  abiVersions,
  assemblyGuest,
  cGuest,
  exportsOf,
  importsOf,
  scriptGuest,
} from "../../support/wasm/guests.ts";

test("the scripted guest says which version of the ABI it is of", async () => {
  for (const abi of abiVersions) {
    const marker = `proxy_abi_version_${abi.replaceAll(".", "_")}`;
    const markers = exportsOf(await scriptGuest(abi)).filter((name) => name.startsWith("proxy_abi_version"));
    assert.deepEqual(markers, [marker]);
  }
});

test("the guest by the AssemblyScript SDK needs no shim for WASI", async () => {
  const others = importsOf(await assemblyGuest()).filter((name) => !name.startsWith("env."));
  assert.deepEqual(others, []);
});

test("other flags make another guest", async () => {
  const [plain, large] = await Promise.all([cGuest("fields"), cGuest("fields", ["-DARENA=65536"])]);
  assert.notDeepEqual(plain, large);
});

// Packages for tests: the smallest module there is, a bundle of one line, with the manifest that a test wants.
import { extensionEntry, type ExtensionEntry } from "../../../src/extensions/entry.ts";
import { manifest, type Manifest } from "../../../src/extensions/manifest.ts";
import { writePackage } from "../../../src/extensions/package.ts";

/** Magic and version, and nothing else: valid. */
export const emptyModule = Buffer.from("\0asm\x01\0\0\0", "latin1");

export const sampleManifest = (given: Readonly<Record<string, unknown>> = {}): Manifest =>
  manifest.parse({ name: "geo", version: "1.2.0", ...given });

export const moduleOf = (given: Readonly<Record<string, unknown>> = {}): Buffer =>
  writePackage(emptyModule, sampleManifest(given));

export const bundleOf = (given: Readonly<Record<string, unknown>> = {}, code = "exports.a = 1;\n"): Buffer =>
  writePackage(Buffer.from(code), sampleManifest(given));

/** An entry of a policy's `extensions`, checked and completed. */
export const entryOf = (given: Readonly<Record<string, unknown>>): ExtensionEntry =>
  extensionEntry.parse({ runtime: "wasm", ...given });

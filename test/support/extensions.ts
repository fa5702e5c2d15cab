// Makes extensions for tests, as they are once a policy's entry and its package have been read.
import { hash } from "node:crypto";
import type { z } from "zod";
import { type Extension, extensionEntry } from "../../src/extensions/entry.ts";
import { manifest } from "../../src/extensions/manifest.ts";

export interface BundleOptions {
  /** CommonJS that assigns `module.exports`. */
  readonly code: string;
  readonly name?: string;
  readonly manifest?: Partial<z.input<typeof manifest>>;
  readonly entry?: Partial<z.input<typeof extensionEntry>>;
}

/** A JavaScript extension without a source. */
export function bundleExtension({ code, name = "geo", ...options }: BundleOptions): Extension {
  const facts = { name, version: "1.0.0", ...options.manifest };
  const bytes = Buffer.from(`//outrigger-manifest ${JSON.stringify(facts)}\n${code}`);
  const sha256 = hash("sha256", bytes);
  const entry = { source: `file:/${name}.cjs`, sha256, runtime: "trusted", ...options.entry } as const;
  return {
    name,
    entry: extensionEntry.parse(entry),
    package: { manifest: manifest.parse(facts), kind: "js", bytes, sha256 },
  };
}

/** Text of a bundle whose plugin has these members (JavaScript) besides the facts of its manifest. */
export function pluginCode(members: string, facts: Readonly<Record<string, unknown>> = {}): string {
  const all = {
    name: "geo",
    version: "1.0.0",
    apiVersion: 1,
    priority: 30,
    security: false,
    failMode: "closed",
    ...facts,
  };
  return `const { definePlugin, z } = require("outrigger/plugin");
module.exports.plugin = definePlugin({ ...${JSON.stringify(all)}, options: z.strictObject({}), ${members} });`;
}

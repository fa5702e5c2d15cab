// Builds the same plugin for each runtime: it reads three fields of a request and sets one.
import { type Extension, extensionEntry } from "../../src/extensions/entry.ts";
import { manifest, type RuntimeName } from "../../src/extensions/manifest.ts";
import { digestOf, writePackage, readPackage } from "../../src/extensions/package.ts";
import { definePlugin, type PluginDefinition, z } from "../../src/plugin-api/contract.ts";
import { makePlugin } from "../../src/runtime/extension-runtimes.ts";
import { createWasmPlugin } from "../../src/runtime/wasm/wasm-plugin.ts";
import { guestHosts } from "../support/wasm/guest-scene.ts";
import { assemblyGuest, cGuest } from "../support/wasm/guests.ts";

export interface Contender {
  readonly name: string;
  readonly atOnce: number;
  readonly make: () => Promise<PluginDefinition>;
}

const builtIn = definePlugin({
  name: "fields",
  version: "1.0.0",
  apiVersion: 1,
  priority: 900,
  security: false,
  failMode: "closed",
  options: z.object({}),
  setup: () => ({
    onRequest({ request }) {
      const { fields } = request;
      fields.get("accept");
      fields.set("x-agent", fields.get("user-agent") ?? request.path);
    },
  }),
}) as PluginDefinition;

const script = `
const { definePlugin, z } = require("outrigger/plugin");
exports.plugin = definePlugin({
  name: "fields", version: "1.0.0", apiVersion: 1, priority: 900, security: false, failMode: "closed",
  options: z.object({}),
  setup: () => ({
    onRequest({ request }) {
      const { fields } = request;
      fields.get("accept");
      fields.set("x-agent", fields.get("user-agent") ?? request.path);
    },
  }),
});
`;

const manifestOf = (version: string, hooks: readonly string[]): Record<string, unknown> => ({
  name: "fields",
  version,
  priority: 900,
  hooks,
});

/** The scripted plugin as a package. */
export function scriptedPackage(version = "1.0.0"): Buffer {
  const code = script.replaceAll("1.0.0", version);
  return writePackage(Buffer.from(code), manifest.parse(manifestOf(version, ["onRequest"])));
}

export function packageOf(
  runtime: RuntimeName,
  bytes: Buffer,
  hooks: readonly string[] = ["onRequest"],
): Extension {
  const source = runtime === "wasm" ? "file:/fields.wasm" : "file:/fields.cjs";
  const own = runtime === "wasm" ? { manifest: manifestOf("1.0.0", hooks) } : {};
  // A busy machine must not make a plugin exceed its limit.
  const limits = { timeMs: 5_000 };
  const entry = extensionEntry.parse({ source, sha256: digestOf(bytes), runtime, limits, ...own });
  return { name: "fields", entry, package: readPackage(bytes, { name: "fields", ...own }) };
}

const scripted = async (runtime: RuntimeName): Promise<PluginDefinition> =>
  makePlugin(packageOf(runtime, scriptedPackage()));

export const hookContenders: readonly Contender[] = [
  { name: "built-in", atOnce: 1, make: () => Promise.resolve(builtIn) },
  { name: "trusted", atOnce: 1, make: () => scripted("trusted") },
  ...guestHosts.flatMap((hosts) => {
    const make = async (): Promise<PluginDefinition> =>
      createWasmPlugin(packageOf("wasm", await cGuest("fields")), { hosts });
    const one = { name: `wasm, ${hosts}`, atOnce: 1, make };
    return hosts === "isolate" ? [one] : [one, { name: `wasm, ${hosts}, 16 in flight`, atOnce: 16, make }];
  }),
  { name: "process", atOnce: 1, make: () => scripted("process") },
  { name: "process, 16 in flight", atOnce: 16, make: () => scripted("process") },
];

export const streamContenders: readonly Contender[] = guestHosts.flatMap((hosts) => {
  const whole = (bytes: Buffer): PluginDefinition =>
    createWasmPlugin(packageOf("wasm", bytes, ["onRequest", "onResponse", "onComplete"]), { hosts });
  const atOnce = hosts === "isolate" ? 1 : 16;
  return [
    { name: `C, ${hosts}`, atOnce, make: async () => whole(await cGuest("stream")) },
    { name: `AssemblyScript, ${hosts}`, atOnce, make: async () => whole(await assemblyGuest()) },
  ];
});

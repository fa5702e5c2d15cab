// The policy's entry for a plugin that is not built in: where its bytes come from, their digest, and how it runs.
import { z } from "zod";
import { byteSize } from "../language/byte-size.ts";
import { milliseconds } from "../language/duration.ts";
import { extensionName, manifest, type Package, versionRange } from "./manifest.ts";

export const entryLimits = z.strictObject({
  timeMs: milliseconds(1, 10_000)
    .optional()
    .describe(
      "Longest time of a hook, in milliseconds (default: 50 for wasm, which runs on this thread, else 2000)",
    ),
  memoryMiB: z
    .int()
    .min(1)
    .max(1_024)
    .optional()
    .describe("Memory that it may take (default: what its manifest asks for)"),
  requestBytes: byteSize(0, 16_777_216)
    .optional()
    .describe("Longest request body it is given (default: what its manifest asks for)"),
  responseBytes: byteSize(0, 16_777_216)
    .optional()
    .describe("Longest response body it is given (default: what its manifest asks for)"),
  timeMicros: z
    .number()
    .min(1)
    .max(10_000_000)
    .optional()
    .describe(
      "Time of all its hooks for a request, on average, in microseconds (default: what its manifest says)",
    ),
  httpCallsPerSecond: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .describe("Calls over HTTP that it may make in a second, and save up (default: what its manifest says)"),
  cpuShare: z
    .number()
    .min(0.01)
    .max(64)
    .optional()
    .describe(
      "Processors that it may take for ten seconds on end, 0.5 = half of one: in a process, and in an isolate (default: any)",
    ),
  restartsPerMinute: z
    .int()
    .min(0)
    .max(60)
    .default(3)
    .describe("Restarts after which it is quarantined until another digest comes"),
});

export const extensionEntry = z.strictObject({
  source: z
    .string()
    .max(2_048)
    .regex(/^(file:|redis:|oci:\/\/|https:\/\/).+/, "must begin with file:, redis:, oci:// or https://")
    .describe(
      "Where its package is: file:/path, redis:plugin:name@version, oci://host/repository:tag, https://…",
    ),
  version: versionRange
    .optional()
    .describe("Version, or range that policy apply resolves to one (default: any)"),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in 64 lower-case hex digits")
    .optional()
    .describe("SHA-256 of the package: no other bytes run. policy apply fills it in"),
  runtime: z
    .enum(["wasm", "process", "trusted"])
    .describe(
      "wasm: a proxy-wasm module, isolated; process: JavaScript in a child process; trusted: JavaScript in this process, with all rights",
    ),
  priority: z.int().min(0).max(1_000).optional().describe("Place in the chain, in place of the manifest's"),
  failMode: z
    .enum(["open", "closed"])
    .optional()
    .describe("What happens when it fails, in place of the manifest's"),
  limits: entryLimits.prefault({}).describe("What it may take at most"),
  clusters: z
    .record(z.string().min(1).max(256), z.string().regex(/^https?:\/\//))
    .optional()
    .describe("What a module calls its upstreams, and the URLs that these are"),
  manifest: manifest
    .partial()
    .optional()
    .describe("What a module that carries no manifest would say: any proxy-wasm filter"),
  percent: z
    .number()
    .min(0)
    .max(100)
    .optional()
    .describe("Share of the callers it runs for, always the same ones (default: all)"),
  replaces: extensionName
    .optional()
    .describe("The extension that runs for the other callers in its place: two versions at once"),
  services: z
    .array(z.string().min(1).max(128))
    .min(1)
    .optional()
    .describe("Services it is for (default: every one)"),
});

export const extensionsField = z
  .record(extensionName, extensionEntry)
  .optional()
  .describe("Plugins that are not built in, by name; only the shared policy has any");

export type ExtensionEntry = z.output<typeof extensionEntry>;

/** An extension of the policy with its pinned package: the input of a runtime. */
export interface Extension {
  readonly name: string;
  readonly entry: ExtensionEntry;
  readonly package: Package;
}

/** Time limit of a hook in milliseconds: that of built-in plugins, but shorter for wasm, which blocks this thread. */
export function hookLimitMs({ limits, runtime }: Pick<ExtensionEntry, "limits" | "runtime">): number {
  return limits.timeMs ?? (runtime === "wasm" ? 50 : 2_000);
}

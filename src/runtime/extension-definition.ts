// What a plugin that is not built in says of itself, by its manifest and by the policy: the same for all runtimes.
import type { z } from "zod";
import type { Extension } from "../extensions/entry.ts";
import type { Needs } from "../extensions/manifest.ts";
import { optionsSchema } from "../extensions/options.ts";
import type { MaybePromise, PluginDefinition } from "../plugin-api/contract.ts";
import type { PluginNeeds } from "../plugin-api/services.ts";

/** How a plugin fares in its runtime, for operators. */
export interface RuntimeStatus {
  /** How often what runs it was started again. */
  readonly restarts: number;
  /** Why it is not started any more; undefined = it is, or runs. */
  readonly quarantined?: string | undefined;
  /** What it takes, where the runtime can tell. */
  readonly memoryBytes?: number | undefined;
  /** What it takes of a processor's time, likewise: 1 = all of one. */
  readonly cpuShare?: number | undefined;
}

/** A plugin that is not built in, as its runtime makes it. */
export interface ExtensionDefinition<State = unknown> extends PluginDefinition<z.ZodType, State> {
  /** Longest time of a hook, whatever its own limits are. */
  readonly hookLimitMs?: number;
  /** @param state what `init` gave */
  status?(state: State): RuntimeStatus;
}

/** Makes a plugin of a package. Rejects, or throws, where the package cannot be one: the policy is refused then. */
export type MakePlugin = (extension: Extension) => MaybePromise<ExtensionDefinition>;

/** Version by which logs, metrics and heartbeats know it: two packages of one version are two. */
export function versionOf({ package: { manifest, sha256 } }: Extension): string {
  const { version } = manifest;
  return `${version}${version.includes("+") ? "." : "+"}${sha256.slice(0, 12)}`;
}

type Facts = "name" | "version" | "apiVersion" | "priority" | "security" | "failMode" | "options" | "needs";

/** All of a definition but what it does. @throws Error when the manifest's `options` are no JSON Schema */
export function factsOf(extension: Extension): Pick<PluginDefinition, Facts> {
  const { name, entry } = extension;
  const { manifest } = extension.package;
  const { security } = manifest;
  return {
    name,
    version: versionOf(extension),
    apiVersion: 1,
    priority: entry.priority ?? manifest.priority,
    security,
    failMode: security ? "closed" : (entry.failMode ?? manifest.failMode),
    options: optionsSchema(manifest),
    needs: needsOf(manifest.needs),
  };
}

function needsOf({ keys, secrets, hosts, database }: Needs): PluginNeeds {
  return { keys, secrets, hosts, database };
}

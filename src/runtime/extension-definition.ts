// Describes a plugin that is not built in, as its manifest and the policy declare it. The same for all runtimes.
import type { z } from "zod";
import type { Extension } from "../extensions/entry.ts";
import type { Needs } from "../extensions/manifest.ts";
import { optionsSchema } from "../extensions/options.ts";
import type { MaybePromise, PluginDefinition } from "../plugin-api/contract.ts";
import type { PluginNeeds } from "../plugin-api/services.ts";

/** State of a plugin in its runtime, for operators. */
export interface RuntimeStatus {
  /** How often the runtime restarted the process or guest that runs it. */
  readonly restarts: number;
  /** Why it is no longer started; undefined = it is not quarantined. */
  readonly quarantined?: string | undefined;
  /** Memory it uses; undefined where the runtime cannot tell. */
  readonly memoryBytes?: number | undefined;
  /** CPU share it uses (1 = one core); undefined where the runtime cannot tell. */
  readonly cpuShare?: number | undefined;
}

/** A plugin that is not built in, as its runtime creates it. */
export interface ExtensionDefinition<State = unknown> extends PluginDefinition<z.ZodType, State> {
  /** Upper bound in milliseconds for each hook, whatever the hook's own limits are. */
  readonly hookLimitMs?: number;
  /** @param state what `init` returned */
  status?(state: State): RuntimeStatus;
}

/** Creates a plugin from a package. Rejects or throws if the package cannot be a plugin; the policy is then refused. */
export type MakePlugin = (extension: Extension) => MaybePromise<ExtensionDefinition>;

/**
 * @returns the version for logs, metrics and heartbeats. It includes the digest, so two packages of one version differ.
 */
export function versionOf({ package: { manifest, sha256 } }: Extension): string {
  const { version } = manifest;
  return `${version}${version.includes("+") ? "." : "+"}${sha256.slice(0, 12)}`;
}

type Facts = "name" | "version" | "apiVersion" | "priority" | "security" | "failMode" | "options" | "needs";

/** @returns the definition without its behaviour. @throws Error when the manifest's `options` are not a JSON Schema */
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

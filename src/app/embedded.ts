// Runs a sidecar inside another program, such as the tests of a service: `import { createSidecar } from "outrigger"`.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { type Config, ConfigReader, type Environment } from "../config/config.ts";
import type { PluginDefinition } from "../plugin-api/contract.ts";
import { registry as builtIn } from "./registry.ts";
import { type Sidecar, type SidecarOverrides, startSidecar } from "./sidecar.ts";

export type { PluginDefinition } from "../plugin-api/contract.ts";
export { ConfigError } from "../config/config.ts";
export { StartError } from "../config/start-error.ts";
export { version } from "../version.ts";

export interface SidecarOptions {
  /** The service: `http://127.0.0.1:3000`, `unix:/run/app.sock`. */
  readonly upstream: string;
  /**
   * Policy document; `apiVersion` is filled in. Absent: the policy comes from where `env` says, else the built-in one
   * logs and forwards.
   */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Plugins that policies can name, beside the built-in ones. */
  readonly plugins?: readonly PluginDefinition[];
  /** Default: a free port on loopback. */
  readonly listen?: string;
  readonly admin?: string;
  /**
   * Further settings by their environment names: `{ REDIS_URL, OUTRIGGER_SERVICE, … }`. The environment of the process
   * itself is ignored.
   */
  readonly env?: Environment;
  /** Receives the log, one JSON object per line. Default: the log is discarded. */
  readonly log?: Writable;
}

export interface EmbeddedSidecar extends AsyncDisposable {
  /** `http://127.0.0.1:port`, or `unix:/path`. */
  readonly url: string;
  readonly adminUrl: string;
  /** Replaces the policy document. It comes into force soon after; an error appears in the log and under /policy. */
  setPolicy(policy: Readonly<Record<string, unknown>>): void;
  /** The text of /metrics. */
  metrics(): Promise<string>;
  /** Drains and stops the sidecar. A second call waits for the first. */
  stop(): Promise<void>;
}

/**
 * Resolves when the sidecar serves. It handles no signals and never ends the process. Rejects, leaving nothing behind,
 * with ConfigError when settings are refused, or StartError when an address cannot be bound. A refused policy does not
 * reject: the log reports it, and requests get 503.
 * @param overrides for tests of the sidecar itself
 */
export async function createSidecar(
  options: SidecarOptions,
  overrides: SidecarOverrides = {},
): Promise<EmbeddedSidecar> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-"));
  const policyFile = join(folder, "policy.json");
  const setPolicy = (policy: Readonly<Record<string, unknown>>): void =>
    writeFileSync(policyFile, JSON.stringify({ apiVersion: "outrigger/v1", ...policy }));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    if (options.policy !== undefined) setPolicy(options.policy);
    const registry = [...(overrides.registry ?? builtIn), ...(options.plugins ?? [])];
    const config = configOf(registry, environmentOf(options, policyFile));
    const sidecar = await startSidecar(config, { output: options.log ?? nobody(), ...overrides, registry });
    return embedded(sidecar, setPolicy, remove);
  } catch (error) {
    remove();
    throw error;
  }
}

function embedded(
  sidecar: Sidecar,
  setPolicy: EmbeddedSidecar["setPolicy"],
  remove: () => void,
): EmbeddedSidecar {
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= sidecar.stop().finally(remove));
  return {
    url: urlOf(sidecar.address),
    adminUrl: urlOf(sidecar.adminAddress),
    setPolicy,
    metrics: () => sidecar.metrics(),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function urlOf(address: AddressInfo | string): string {
  if (typeof address === "string") return `unix:${address}`;
  const { port, family } = address;
  // A listener on all addresses is reached on loopback.
  const host = address.address.replace(/^0\.0\.0\.0$/, "127.0.0.1").replace(/^::$/, "::1");
  return family === "IPv6" ? `http://[${host}]:${port}` : `http://${host}:${port}`;
}

function environmentOf(options: SidecarOptions, policyFile: string): Environment {
  return {
    OUTRIGGER_LISTEN: options.listen ?? "127.0.0.1:0",
    OUTRIGGER_ADMIN: options.admin ?? "127.0.0.1:0",
    OUTRIGGER_UPSTREAM: options.upstream,
    OUTRIGGER_DRAIN_MS: "1000",
    ...(options.policy === undefined ? {} : { OUTRIGGER_POLICY_FILE: policyFile }),
    ...options.env,
  };
}

/** Reads the settings, including the secrets that these and the built-in plugins declare. */
function configOf(registry: readonly PluginDefinition[], env: Environment): Config {
  const byName = new Map([...builtIn, ...registry].map((plugin) => [plugin.name, plugin]));
  return new ConfigReader([...byName.values()]).load(env);
}

function nobody(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

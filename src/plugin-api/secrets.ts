// Types the secrets that a plugin's definition declares. Each becomes a setting of the sidecar.

/** The setting `OUTRIGGER_<name>`, or the file that `OUTRIGGER_<name>_FILE` names. */
export interface PluginSecret {
  /** What the secret is, in one line: for `outrigger config` and the table of settings. */
  readonly about: string;
  /**
   * Checks the secret at startup. A wrong one stops the sidecar from starting, whether or not the current policy uses
   * it.
   * @returns what is wrong ("must be …"), without any of the secret's text; undefined = nothing
   */
  check(secret: string): string | undefined;
}

/** By name, such as `API_KEY_PEPPER`. Names that begin with `SECRET_` are reserved for secrets that options name. */
export type PluginSecrets = Readonly<Record<string, PluginSecret>>;

// The secrets that a plugin brings, as its definition declares them: each is a setting of the sidecar.

/** The setting `OUTRIGGER_<name>`, or the file that `OUTRIGGER_<name>_FILE` names. */
export interface PluginSecret {
  /** What it is, in one line: for `outrigger config` and the table of settings. */
  readonly about: string;
  /**
   * A wrong one ends the start, whether or not the policy of the day has a use for it.
   * @returns what is wrong with it ("must be …"), without any of its text; undefined = nothing
   */
  check(secret: string): string | undefined;
}

/** By name, e.g. `API_KEY_PEPPER`; names that begin with `SECRET_` are for those that options name. */
export type PluginSecrets = Readonly<Record<string, PluginSecret>>;

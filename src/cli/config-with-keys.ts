// Loads the settings with OUTRIGGER_POLICY_KEYS taken from an option of a command.
import { loadConfig } from "../app/environment.ts";
import { type Config, ConfigError, type Environment } from "../config/config.ts";

/** Throws a ConfigError that names the option in place of the setting. */
export function configWithKeys(env: Environment, keys: string, option: string): Config {
  try {
    return loadConfig({ ...env, OUTRIGGER_POLICY_KEYS: keys });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(
      error.problems.map((problem) => problem.replace(/^OUTRIGGER_POLICY_KEYS:/, `${option}:`)),
    );
  }
}

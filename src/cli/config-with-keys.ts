// The settings here with OUTRIGGER_POLICY_KEYS as an option of a command gives them.
import { loadConfig } from "../app/environment.ts";
import { type Config, ConfigError, type Environment } from "../config/config.ts";

/** Throws a ConfigError, which calls the keys by the option they were given under. */
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

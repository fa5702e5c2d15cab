// Reads the few settings of a sidecar that determine what to intercept. The others are not read: their secrets and
// certificates need not exist where the rules are installed.
import { type Config, ConfigError, type Environment } from "../config/config.ts";
import { FormatError } from "../config/formats.ts";
import { settings } from "../config/settings.ts";

const names = ["service", "listen", "upstream", "admin", "egress"] as const;

export type InterceptSettings = Pick<Config, (typeof names)[number]>;

const noFile = (): never => {
  throw new FormatError("is read from no file here");
};

/** @throws ConfigError */
export function readSettings(env: Environment): InterceptSettings {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const name of names) {
    const { env: variable, parse, default: fallback } = settings[name];
    const text = env[variable] || fallback;
    try {
      values[name] = text === null ? undefined : parse(text, noFile);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      problems.push(`${variable} ${error.message}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  // Safe: each value comes from the parser of its own setting.
  return values as unknown as InterceptSettings;
}

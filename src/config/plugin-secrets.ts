// Makes settings of the secrets that plugins declare.
import type { PluginSecret, PluginSecrets } from "../plugin-api/secrets.ts";
import { FormatError } from "./formats.ts";
import { prefix } from "./known-names.ts";
import { secret, type Setting } from "./setting.ts";
import { settings } from "./settings.ts";

/** The part of a plugin that concerns its secrets. */
export interface SecretsBringer {
  readonly name: string;
  readonly secrets?: PluginSecrets;
}

/**
 * Makes one row for each secret.
 * @throws Error if a secret has no valid name, or that of another setting: it would be unclear whose value it is
 */
export function pluginSecretSettings(plugins: readonly SecretsBringer[]): Setting<string | undefined>[] {
  const taken = new Set<string>(Object.values(settings).flatMap(({ env }) => [env, `${env}_FILE`]));
  return plugins.flatMap(({ name: plugin, secrets = {} }) =>
    Object.entries(secrets).map(([name, declared]) => {
      const env = prefix + name;
      if (!/^(?!SECRET_)[A-Z][A-Z0-9_]*$/.test(name) || taken.has(env) || taken.has(`${env}_FILE`))
        throw new Error(`plugin "${plugin}" brings a secret ${name}: that is no name for one, or taken`);
      taken.add(env).add(`${env}_FILE`);
      return secret(env, (text) => checked(text, declared), declared.about);
    }),
  );
}

/** Errors that `check` throws are not shown: they may quote the secret. */
function checked(text: string, declared: PluginSecret): string {
  let problem: string | undefined = "cannot be used";
  try {
    problem = declared.check(text);
  } catch {}
  if (problem !== undefined) throw new FormatError(problem);
  return text;
}

// Reads the environment once at start: strictly, completely, and with every problem reported at once. All other code
// gets its settings from the resulting frozen object.
import convict from "convict";
import { frozen } from "../language/frozen.ts";
import { crossCheck } from "./cross-check.ts";
import { FormatError, type ReadFile } from "./formats.ts";
import { type Environment, findUnknown, isNamedSecret, knownNames, prefix } from "./known-names.ts";
import { pluginSecretSettings, type SecretsBringer } from "./plugin-secrets.ts";
import { readSecretFile, readSecrets, readTextFile } from "./secrets.ts";
import type { Setting } from "./setting.ts";
import { settings, type SettingValues } from "./settings.ts";

export type { Environment } from "./known-names.ts";

/** All settings, typed, complete with their defaults, deeply frozen. */
export type Config = SettingValues & {
  /**
   * Secrets that plugins may ask for, by their variable's name without `OUTRIGGER_`: those that plugins declare, and
   * `SECRET_<NAME>` for those that a policy refers to by name.
   */
  readonly secrets: Readonly<Record<string, string>>;
  /** The files that hold secrets, by the variable of the secret. */
  readonly secretFiles: Readonly<Record<string, string>>;
  /** Sockets that the parent process opened, in place of `listen` and `admin`. */
  readonly passed?: PassedSockets;
};

export interface PassedSockets {
  /** File descriptors, as is `admin`. */
  readonly listen?: readonly number[];
  readonly admin?: number;
}

/** Settings whose files are re-read while the sidecar runs. */
export type SecretSettings = Pick<Config, "redis" | "adminToken" | "storeKeys" | "secrets">;

/** The environment is wrong. `problems` has one line for each fault, with the variable's name and without secrets. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** One row of `outrigger config`. A secret's value is `(set)` or `(unset)`. */
export interface SettingRow {
  readonly name: string;
  readonly value: string;
  readonly default: string;
  /** Whether the environment sets it. */
  readonly set: boolean;
  readonly doc: string;
}

interface Reading {
  readonly config: Config;
  /** The value of each variable, secrets included. */
  readonly texts: Readonly<Record<string, string>>;
}

/** Reads the environment of a sidecar with these plugins. */
export class ConfigReader {
  /** Every setting; the secrets that plugins declare come last. */
  readonly table: readonly Setting<unknown>[];
  readonly #broughtByPlugins: readonly Setting<string | undefined>[];

  constructor(plugins: readonly SecretsBringer[]) {
    this.#broughtByPlugins = pluginSecretSettings(plugins);
    this.table = [...Object.values(settings), ...this.#broughtByPlugins];
  }

  /**
   * @param env the process's environment
   * @param readFile reads secret files, certificates and keys
   * @throws ConfigError with every problem
   */
  load(env: Environment, readFile: ReadFile = readTextFile): Config {
    return this.#read(env, readFile).config;
  }

  /**
   * Every setting with its current value, for display.
   * @throws ConfigError with every problem
   */
  describe(env: Environment, readFile: ReadFile = readTextFile): SettingRow[] {
    const { texts } = this.#read(env, readFile);
    const rows = this.table.map((row) => describe(row, texts[row.env]));
    const doc = "Secret that a policy refers to by name";
    for (const name of Object.keys(texts).filter(isNamedSecret).sort())
      rows.push(describe({ env: name, default: null, doc, secret: true }, texts[name]));
    return rows;
  }

  /**
   * Re-reads the files of secrets.
   * @param known the values to keep for files that are faulty now
   * @param problems gets one line for each of those, with the variable's name and no secret
   */
  reread(
    files: Config["secretFiles"],
    known: SecretSettings,
    problems: string[],
    readFile: ReadFile = readTextFile,
  ): SecretSettings {
    const { redis, adminToken, storeKeys } = known;
    const secrets: Record<string, string> = Object.assign(Object.create(null), known.secrets);
    const now = { redis, adminToken, storeKeys, secrets };
    for (const [name, path] of Object.entries(files)) {
      try {
        const text = readSecretFile(name, path, readFile);
        if (name === settings.redis.env) now.redis = settings.redis.parse(text, readFile);
        else if (name === settings.adminToken.env) now.adminToken = settings.adminToken.parse(text, readFile);
        else if (name === settings.storeKeys.env) now.storeKeys = settings.storeKeys.parse(text, readFile);
        else if (this.#isForPlugins(name)) {
          this.#broughtByPlugins.find(({ env }) => env === name)?.parse(text, readFile);
          secrets[name.slice(prefix.length)] = text;
        }
      } catch (error) {
        problems.push(`${name}_FILE: ${(error as Error).message}`);
      }
    }
    return now;
  }

  #isForPlugins(name: string): boolean {
    return isNamedSecret(name) || this.#broughtByPlugins.some(({ env }) => env === name);
  }

  #read(env: Environment, readFile: ReadFile): Reading {
    const names = knownNames(env, this.table);
    const problems = findUnknown(env, names.all);
    const secrets = readSecrets(env, names.secrets, readFile, problems);
    const texts: Record<string, string> = { ...secrets };
    for (const row of this.table) {
      const text = env[row.env];
      if (!row.secret && text !== undefined) texts[row.env] = text;
    }
    const values = this.#applyFormats(texts, readFile, problems);
    problems.push(...crossCheck(values, texts, readFile));
    if (problems.length > 0) throw new ConfigError(problems);
    const config: Record<string, unknown> = { ...values };
    const forPlugins: Record<string, string> = Object.create(null);
    for (const [name, text] of Object.entries(secrets)) {
      if (this.#isForPlugins(name)) forPlugins[name.slice(prefix.length)] = text;
    }
    config["secrets"] = forPlugins;
    config["secretFiles"] = Object.fromEntries(
      names.secrets.flatMap((name) => {
        const path = env[`${name}_FILE`];
        return path === undefined ? [] : [[name, path]];
      }),
    );
    const { redisCa: ca, redisCert: cert, redisKey: key, redisServername: servername } = values;
    for (const name of ["redis", "relayFrom"] as const) {
      // The name to verify in place of the host's is set only for REDIS_URL.
      const tlsFiles = { ca, cert, key, servername: name === "redis" ? servername : undefined };
      if (values[name] !== undefined && values[name] !== null) config[name] = { ...values[name], tlsFiles };
    }
    return { config: frozen(config) as Config, texts };
  }

  /** Passes the variables to convict, which adds the defaults and calls every format. */
  #applyFormats(
    texts: Readonly<Record<string, string>>,
    readFile: ReadFile,
    problems: string[],
  ): Partial<SettingValues> {
    const values = new Map<string, unknown>();
    const schema: Record<string, convict.SchemaObj> = {};
    for (const row of this.table) {
      schema[row.env] = {
        doc: row.doc,
        env: row.env,
        default: row.default,
        nullable: row.default === null,
        // For rows that are not sensitive, convict would put the rejected value into its message.
        sensitive: true,
        format(text: string) {
          if (text === "" && row.default !== "") throw new FormatError("is empty: give a value or unset it");
          values.set(row.env, row.parse(text, readFile));
        },
      };
    }
    try {
      // Without `args: []`, convict 6.2.5 would read the process's own arguments.
      convict(schema, { env: { ...texts }, args: [] }).validate({ allowed: "strict" });
    } catch (error) {
      problems.push(...(error as Error).message.split("\n"));
    }
    const found = Object.entries(settings).filter(([, { env }]) => values.has(env));
    return Object.fromEntries(found.map(([name, { env }]) => [name, values.get(env)]));
  }
}

function describe(row: Omit<Setting<unknown>, "parse">, text: string | undefined): SettingRow {
  const unset = "(unset)";
  const value = row.secret && text !== undefined ? "(set)" : (text ?? row.default ?? unset);
  return { name: row.env, value, default: row.default ?? unset, set: text !== undefined, doc: row.doc };
}

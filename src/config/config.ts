// The environment, read once at start: strict, complete, every problem at once. Everything else gets its settings
// from the frozen object that comes out of here.
import { isDeepStrictEqual } from "node:util";
import convict from "convict";
import { FormatError, isUpstreamAllowed, type ReadFile, shownPath } from "./formats.ts";
import { isPair } from "./pem.ts";
import { readSecretFile, readSecrets, readTextFile } from "./secrets.ts";
import type { Setting } from "./setting.ts";
import { settings } from "./settings.ts";
import { nearestName } from "../language/nearest.ts";

type Settings = typeof settings;
type SettingName = keyof Settings;

type Values = { readonly [Name in SettingName]: ReturnType<Settings[Name]["parse"]> };

/** All settings, typed, complete with their defaults, deeply frozen. */
export type Config = Values & {
  /**
   * Secrets that plugins may ask for, by their variable's name without `OUTRIGGER_`: `API_KEY_PEPPER`,
   * `SESSION_KEYS`, `ASSERTION_KEY`, and `SECRET_<NAME>` for those that a policy refers to by name.
   */
  readonly secrets: Readonly<Record<string, string>>;
  /** The files that hold secrets, by the secret's variable. */
  readonly secretFiles: Readonly<Record<string, string>>;
};

/** Settings whose files are read again while the sidecar runs. */
export type SecretSettings = Pick<Config, "redis" | "adminToken" | "storeKeys" | "secrets">;

/** The environment is wrong; `problems` says how, one line each, with the variable's name and no secret. */
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

export type Environment = Readonly<Record<string, string | undefined>>;

const prefix = "OUTRIGGER_";
const table = Object.entries(settings) as readonly (readonly [SettingName, Setting<unknown>])[];
const pluginSecrets = [settings.apiKeyPepper.env, settings.sessionKeys.env, settings.assertionKey.env];
const namedSecret = /^OUTRIGGER_SECRET_(?!HOSTS(?:_FILE)?$)[A-Z0-9_]+$/;

/**
 * What Kubernetes puts into every container's environment for a Service whose name begins with "outrigger" (service
 * links): `OUTRIGGER_SERVICE_HOST`, `OUTRIGGER_PORT=tcp://…` and their kind. Not written by the user, so not a typo.
 */
function isServiceLink(name: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT(_\w+)?)$/.test(name)) return true;
  if (name.endsWith("_PORT")) return /^(tcp|udp|sctp):\/\//.test(value);
  return /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name);
}

/** A problem for every `OUTRIGGER_*` variable that means nothing here, with the name that was probably meant. */
function findUnknown(env: Environment, known: ReadonlySet<string>): string[] {
  const problems: string[] = [];
  const ends = [...known].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  for (const [name, value = ""] of Object.entries(env)) {
    if (!/^OUTRIGGER_/i.test(name) || known.has(name) || isServiceLink(name, value)) continue;
    const nearest = nearestName(name.slice(prefix.length), ends);
    const hint = nearest === undefined ? "" : `; did you mean ${prefix}${nearest}?`;
    problems.push(`${name.replace(/[^\x20-\x7e]/g, "?")}: unknown setting${hint}`);
  }
  return problems;
}

/** Names of all variables that count, the `_FILE` forms and the named secrets that are set among them. */
function knownNames(env: Environment): { all: Set<string>; secrets: string[] } {
  const secrets = table.filter(([, row]) => row.secret).map(([, row]) => row.env);
  for (const name of Object.keys(env)) {
    const plain = name.replace(/_FILE$/, "");
    if (namedSecret.test(plain) && !secrets.includes(plain)) secrets.push(plain);
  }
  const all = new Set([
    ...table.map(([, row]) => row.env),
    ...secrets,
    ...secrets.map((name) => `${name}_FILE`),
  ]);

  return { all, secrets };
}

/** What holds between settings. Those that are wrong by themselves are absent from `values`. */
function crossCheck(
  values: Partial<Values>,
  texts: Readonly<Record<string, string>>,
  readFile: ReadFile,
): string[] {
  const problems: string[] = [];
  const { upstream, upstreamAllow, listen, admin } = values;
  if (upstream && upstreamAllow && !isUpstreamAllowed(upstream, upstreamAllow)) {
    problems.push(
      `OUTRIGGER_UPSTREAM: ${upstream.name} is neither on loopback nor in OUTRIGGER_UPSTREAM_ALLOW: add ${upstream.name} there to allow it`,
    );
  }
  const pairs = [
    ["tlsCert", "tlsKey"],
    ["tlsKey", "tlsCert"],
    ["tlsClientCa", "tlsCert"],
    ["redisCert", "redisKey"],
    ["redisKey", "redisCert"],
    ...redisTlsSettings.map((given) => [given, "redis"] as const),
  ] as const;
  for (const [given, needs] of pairs) {
    const needed = settings[needs].env;
    if (values[given] !== undefined && !(needed in texts)) {
      problems.push(`${settings[given].env}: needs ${needed}, which is unset`);
    }
  }
  for (const [cert, key] of [
    ["tlsCert", "tlsKey"],
    ["redisCert", "redisKey"],
  ] as const) {
    const [certFile, keyFile] = [values[cert], values[key]];
    if (certFile === undefined || keyFile === undefined || isPair(certFile, keyFile, readFile)) continue;
    problems.push(
      `${settings[key].env}: ${shownPath(keyFile)} is not the key of the certificate in ${shownPath(certFile)}`,
    );
  }
  for (const given of redisTlsSettings) {
    if (values[given] !== undefined && values.redis?.tls === false)
      problems.push(`${settings[given].env}: needs rediss:// in REDIS_URL`);
  }
  const fixed = listen && ("path" in listen || listen.port !== 0);
  if (fixed && admin && isDeepStrictEqual(listen, admin)) {
    problems.push("OUTRIGGER_ADMIN: is the address of OUTRIGGER_LISTEN");
  }
  return problems;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

function isPluginSecret(name: string): boolean {
  return namedSecret.test(name) || pluginSecrets.includes(name);
}

const redisTlsSettings = ["redisCa", "redisCert", "redisKey", "redisServername"] as const;

interface Reading {
  readonly config: Config;
  /** What each variable holds, secrets included. */
  readonly texts: Readonly<Record<string, string>>;
}

/** Hands the variables to convict, which completes them with their defaults and calls every format. */
function applyFormats(texts: Readonly<Record<string, string>>, readFile: ReadFile, problems: string[]) {
  const values: Partial<Record<SettingName, unknown>> = {};
  const schema: Record<string, convict.SchemaObj> = {};
  for (const [key, row] of table) {
    schema[row.env] = {
      doc: row.doc,
      env: row.env,
      default: row.default,
      nullable: row.default === null,
      // convict would put the rejected value of any other row into its message.
      sensitive: true,
      format(text: string) {
        if (text === "" && row.default !== "") throw new FormatError("is empty: give a value or unset it");
        values[key] = row.parse(text, readFile);
      },
    };
  }
  try {
    // `args: []`, or convict 6.2.5 reads the process's own arguments.
    convict(schema, { env: { ...texts }, args: [] }).validate({ allowed: "strict" });
  } catch (error) {
    problems.push(...(error as Error).message.split("\n"));
  }
  return values as Partial<Values>;
}

function read(env: Environment, readFile: ReadFile): Reading {
  const names = knownNames(env);
  const problems = findUnknown(env, names.all);
  const secrets = readSecrets(env, names.secrets, readFile, problems);
  const texts: Record<string, string> = { ...secrets };
  for (const [, row] of table) {
    const text = env[row.env];
    if (!row.secret && text !== undefined) texts[row.env] = text;
  }
  const values = applyFormats(texts, readFile, problems);
  problems.push(...crossCheck(values, texts, readFile));
  if (problems.length > 0) throw new ConfigError(problems);
  const config: Record<string, unknown> = { ...values };
  const forPlugins: Record<string, string> = Object.create(null);
  for (const [name, text] of Object.entries(secrets)) {
    if (isPluginSecret(name)) forPlugins[name.slice(prefix.length)] = text;
  }
  config["secrets"] = forPlugins;
  config["secretFiles"] = Object.fromEntries(
    names.secrets.flatMap((name) => {
      const path = env[`${name}_FILE`];
      return path === undefined ? [] : [[name, path]];
    }),
  );
  if (values.redis !== undefined && values.redis !== null) {
    const { redisCa: ca, redisCert: cert, redisKey: key, redisServername: servername } = values;
    config["redis"] = { ...values.redis, tlsFiles: { ca, cert, key, servername } };
  }
  return { config: deepFreeze(config) as Config, texts };
}

/**
 * @param env the process's environment
 * @param readFile for secrets' files, certificates and keys
 * @throws ConfigError with every problem
 */
export function loadConfig(env: Environment, readFile: ReadFile = readTextFile): Config {
  return read(env, readFile).config;
}

/**
 * Reads the files of secrets again.
 * @param known what counts for a file that is wrong now
 * @param problems takes one line for each of those, with the variable's name and no secret
 */
export function rereadSecrets(
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
      else if (isPluginSecret(name)) {
        table.find(([, { env }]) => env === name)?.[1].parse(text, readFile);
        secrets[name.slice(prefix.length)] = text;
      }
    } catch (error) {
      problems.push(`${name}_FILE: ${(error as Error).message}`);
    }
  }
  return now;
}

function describe(row: Omit<Setting<unknown>, "parse">, text: string | undefined): SettingRow {
  const unset = "(unset)";
  const value = row.secret && text !== undefined ? "(set)" : (text ?? row.default ?? unset);
  return { name: row.env, value, default: row.default ?? unset, set: text !== undefined, doc: row.doc };
}

/**
 * Every setting with its current value, for people.
 * @throws ConfigError with every problem
 */
export function describeConfig(env: Environment, readFile: ReadFile = readTextFile): SettingRow[] {
  const { texts } = read(env, readFile);
  const rows = table.map(([, row]) => describe(row, texts[row.env]));
  const named = Object.keys(texts).filter((name) => namedSecret.test(name));
  const doc = "Secret that a policy refers to by name";
  for (const env of named.sort()) rows.push(describe({ env, default: null, doc, secret: true }, texts[env]));
  return rows;
}

// Kong's plugins as options of the plugins here.
import { listOf, type Members, membersOf, textsOf } from "./imported.ts";

/** How a member of a plugin's configuration becomes options. @param tell of what is lost */
type Convert = (config: Members, tell: (text: string) => void, keys: readonly object[]) => Members;

const windows: Readonly<Record<string, string>> = { second: "1s", minute: "1m", hour: "1h", day: "1d" };

/** `Name:value`, which is how Kong's transformers have it. */
function pairsOf(lists: readonly unknown[], tell: (text: string) => void): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const text of lists.flatMap((list) => textsOf(membersOf(list)["headers"]))) {
    const [name = "", value = ""] = text.split(/:(.*)/s);
    if (/\$\(/.test(value)) tell(`${text}: templates are not carried over`);
    else pairs[name] = value.trim();
  }
  return pairs;
}

function transformed(side: "request" | "response"): Convert {
  const [add, remove] =
    side === "request" ? ["addHeaders", "removeHeaders"] : ["addResponseHeaders", "removeResponseHeaders"];
  return (config, tell) => {
    const removed = textsOf(membersOf(config["remove"])["headers"]);
    for (const part of ["rename", "append"])
      if (listOf(membersOf(config[part])["headers"]).length > 0) tell(`${part} is not carried over`);
    const set = pairsOf([config["add"], config["replace"]], tell);
    return {
      transform: {
        ...(Object.keys(set).length > 0 && { [add]: set }),
        ...(removed.length > 0 && { [remove]: removed }),
      },
    };
  };
}

const limits: Convert = (config, tell) => {
  const by = config["limit_by"] === "ip" ? "ip" : "subject";
  if (config["month"] !== undefined || config["year"] !== undefined)
    tell("month and year are not carried over: quotas are `1M`");
  if (!["ip", "consumer", "credential", undefined].includes(config["limit_by"] as string | undefined))
    tell(`limit_by ${String(config["limit_by"])}: callers are told apart by subject`);
  const made = Object.entries(windows).flatMap(([name, window]) =>
    typeof config[name] === "number"
      ? [{ name: `per-${name}`, by, limit: config[name], window, algorithm: "fixed" }]
      : [],
  );
  return { "rate-limit": { limits: made } };
};

const converts: Readonly<Record<string, Convert>> = {
  "key-auth": (config, tell, keys) => {
    if (config["anonymous"]) tell("anonymous is not carried over: callers without a key are refused");
    if (config["key_in_query"] === true)
      tell("keys are taken from fields only; apiKeys.query names parameters");
    const headers = textsOf(config["key_names"]);
    return {
      auth: {
        apiKeys: { headers: headers.length > 0 ? headers : ["apikey"], ...(keys.length > 0 && { keys }) },
      },
    };
  },
  cors: (config, tell) => {
    const origins = textsOf(config["origins"]);
    const exact = origins.filter((origin) => origin === "*" || /^https?:\/\/[\w.:-]+$/.test(origin));
    for (const origin of origins)
      if (!exact.includes(origin)) tell(`origin ${origin} is a regular expression; write it by hand`);
    const isOpen = exact.includes("*");
    if (isOpen && config["credentials"] === true)
      tell("credentials with any origin are not carried over: name the origins");
    return {
      cors: {
        origins: exact,
        ...(config["methods"] !== undefined && { methods: textsOf(config["methods"]) }),
        ...(config["headers"] !== undefined && { headers: textsOf(config["headers"]) }),
        ...(config["exposed_headers"] !== undefined && { exposeHeaders: textsOf(config["exposed_headers"]) }),
        ...(config["credentials"] === true && !isOpen && { credentials: true }),
        ...(typeof config["max_age"] === "number" && { maxAgeSeconds: config["max_age"] }),
      },
    };
  },
  "rate-limiting": limits,
  "rate-limiting-advanced": (_config, tell) => {
    tell("is not carried over: write its limits under rate-limit by hand");
    return {};
  },
  "ip-restriction": (config) => ({
    "ip-filter": {
      ...(listOf(config["allow"]).length > 0 && { allow: textsOf(config["allow"]) }),
      ...(listOf(config["deny"]).length > 0 && { deny: textsOf(config["deny"]) }),
    },
  }),
  "proxy-cache": (config, tell) => {
    if (config["vary_headers"] !== undefined || config["content_type"] !== undefined)
      tell("vary_headers and content_type: see cache.vary; what answers say of themselves counts here");
    return { cache: { ttlSeconds: typeof config["cache_ttl"] === "number" ? config["cache_ttl"] : 300 } };
  },
  "request-transformer": transformed("request"),
  "response-transformer": transformed("response"),
  jwt: (_config, tell) => {
    tell(
      "name the issuers and their keys under auth.jwt.issuers; until then every caller is asked for a key",
    );
    return { auth: {} };
  },
};

/** What the sidecar does anyway. */
const builtIn = new Set([
  "correlation-id",
  "file-log",
  "http-log",
  "prometheus",
  "opentelemetry",
  "zipkin",
  "tcp-log",
  "udp-log",
  "syslog",
]);
/** Those that refuse callers: without a like here their routes must not become open unseen. */
const guards = /auth|acl|jwt|oidc|openid|restriction|bot-detection|hmac|ldap|mtls|opa/;

export class KongPlugins {
  readonly #notes: string[];
  readonly #keys: readonly object[];

  constructor(notes: string[], keys: readonly object[]) {
    this.#notes = notes;
    this.#keys = keys;
  }

  /** @returns options by plugin */
  take(plugins: unknown, where: string): Record<string, unknown> {
    const options: Record<string, unknown> = {};
    for (const each of listOf(plugins)) {
      const { name, config, enabled, consumer } = membersOf(each);
      const tell = (text: string): void => void this.#notes.push(`${where}: ${String(name)}: ${text}`);
      if (enabled === false) continue;
      if (consumer !== undefined) {
        tell("holds for one consumer alone, and is not carried over");
        continue;
      }
      const convert = Object.hasOwn(converts, String(name)) ? converts[String(name)] : undefined;
      if (convert !== undefined) merge(options, convert(membersOf(config), tell, this.#keys));
      else if (builtIn.has(String(name))) tell("the sidecar does it without a plugin");
      else if (guards.test(String(name))) {
        tell("has no like here: until you have written one, its routes ask for a credential (auth)");
        merge(options, { auth: {} });
      } else tell("is not carried over");
    }
    return options;
  }
}

function merge(into: Record<string, unknown>, options: Members): void {
  for (const [name, value] of Object.entries(options))
    into[name] = { ...membersOf(into[name]), ...membersOf(value) };
}

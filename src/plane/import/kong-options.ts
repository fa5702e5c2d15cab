// Converts the options of Kong's plugins to options of the plugins here.
import { listOf, type Members, membersOf, saysSomething, textsOf } from "./imported.ts";

type Tell = (text: string) => void;

/** Converts a plugin's configuration to options by plugin. @param tell receives what is lost */
type Convert = (config: Members, tell: Tell, keys: readonly object[]) => Members;

/** Reports settings that no conversion reads, unless they have no effect. */
function tellRest(config: Members, tell: Tell, known: readonly string[]): void {
  const rest = Object.keys(config).filter((name) => !known.includes(name) && saysSomething(config[name]));
  if (rest.length > 0) tell(`not carried over: ${rest.join(", ")}`);
}

const windows: Readonly<Record<string, string>> = { second: "1s", minute: "1m", hour: "1h", day: "1d" };

/** Parses `Name:value`, the notation of Kong's transformers. */
function pairsOf(lists: readonly unknown[], tell: Tell): Record<string, string> {
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
    tellRest(config, tell, ["remove", "rename", "append", "add", "replace"]);
    for (const part of ["remove", "rename", "append", "add", "replace"])
      tellRest(membersOf(config[part]), (text) => tell(`${part}: ${text}`), ["headers"]);
    const set = pairsOf([config["add"], config["replace"]], tell);
    if (Object.keys(set).length > 0)
      tell("add and replace: the fields are set here, whether they were there or not");
    return {
      transform: {
        ...(Object.keys(set).length > 0 && { [add]: set }),
        ...(removed.length > 0 && { [remove]: removed }),
      },
    };
  };
}

const keyAuth: Convert = (config, tell, keys) => {
  if (config["anonymous"]) tell("anonymous is not carried over: callers without a key are refused");
  if (config["key_in_query"] === true)
    tell("keys are taken from fields only; apiKeys.query names parameters");
  if (config["hide_credentials"] !== true)
    tell("the service does not get the key any more, as with hide_credentials");
  if (config["key_in_body"] === true) tell("key_in_body is not carried over");
  const headers = textsOf(config["key_names"]);
  return {
    auth: {
      apiKeys: { headers: headers.length > 0 ? headers : ["apikey"], ...(keys.length > 0 && { keys }) },
    },
  };
};

const cors: Convert = (config, tell) => {
  // In Kong, no origins means every origin.
  const origins = textsOf(config["origins"] ?? "*");
  const exact = origins.filter((origin) => origin === "*" || /^https?:\/\/[\w.:-]+$/.test(origin));
  for (const origin of origins)
    if (!exact.includes(origin)) tell(`origin ${origin} is a regular expression; write it by hand`);
  const isOpen = exact.includes("*");
  if (isOpen && config["credentials"] === true)
    tell("credentials with any origin are not carried over: name the origins");
  const read = ["origins", "methods", "headers", "exposed_headers", "credentials", "max_age"];
  tellRest(config, tell, read);
  const listed = (name: string): string[] | undefined =>
    saysSomething(config[name]) ? textsOf(config[name]) : undefined;
  const [methods, headers, exposeHeaders] = ["methods", "headers", "exposed_headers"].map(listed);
  return {
    cors: {
      origins: exact,
      ...(methods !== undefined && { methods }),
      ...(headers !== undefined && { headers }),
      ...(exposeHeaders !== undefined && { exposeHeaders }),
      ...(config["credentials"] === true && !isOpen && { credentials: true }),
      ...(typeof config["max_age"] === "number" && { maxAgeSeconds: config["max_age"] }),
    },
  };
};

const limits: Convert = (config, tell) => {
  const by = config["limit_by"] === "ip" ? "ip" : "subject";
  if (saysSomething(config["month"]) || saysSomething(config["year"]))
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

const addresses: Convert = (config, tell) => {
  // Older versions of Kong use other names.
  const [allow, deny] = [
    ["allow", "whitelist"],
    ["deny", "blacklist"],
  ].map((names) => names.flatMap((name) => textsOf(config[name])));
  tellRest(config, tell, ["allow", "whitelist", "deny", "blacklist", "status", "message"]);
  return { "ip-filter": { ...(allow?.length && { allow }), ...(deny?.length && { deny }) } };
};

const cached: Convert = (config, tell) => {
  const other = ["vary_headers", "vary_query_params", "content_type", "request_method", "response_code"];
  if (other.some((name) => saysSomething(config[name])))
    tell(`${other.join(", ")}: see cache.vary; what answers say of themselves counts here`);
  return { cache: { ttlSeconds: typeof config["cache_ttl"] === "number" ? config["cache_ttl"] : 300 } };
};

const terminated: Convert = (config, tell) => {
  const { status_code: status, message, body, content_type: contentType } = config;
  if (saysSomething(config["trigger"])) {
    tell("with a trigger is not carried over");
    return {};
  }
  tellRest(config, tell, ["status_code", "message", "body", "content_type"]);
  const isMessage = typeof message === "string";
  return {
    respond: {
      ...(typeof status === "number" && { status }),
      ...(typeof body === "string" && { body }),
      ...(typeof contentType === "string" && { contentType }),
      ...(isMessage && { body: JSON.stringify({ message }), contentType: "application/json" }),
    },
  };
};

/** By the plugin's name in Kong. */
export const converts: ReadonlyMap<string, Convert> = new Map<string, Convert>([
  ["key-auth", keyAuth],
  ["cors", cors],
  ["rate-limiting", limits],
  [
    "rate-limiting-advanced",
    (_config, tell) => {
      tell("is not carried over: write its limits under rate-limit by hand");
      return {};
    },
  ],
  ["ip-restriction", addresses],
  ["proxy-cache", cached],
  ["request-transformer", transformed("request")],
  ["response-transformer", transformed("response")],
  ["request-termination", terminated],
  [
    "jwt",
    (_config, tell) => {
      tell(
        "name the issuers and their keys under auth.jwt.issuers; until then every caller is asked for a key",
      );
      return { auth: {} };
    },
  ],
]);

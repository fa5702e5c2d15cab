// Converts Kong's declarative configuration (decK, DB-less): services, routes, consumers, and the plugins with a
// counterpart here.
import { hash } from "node:crypto";
import {
  type Imported,
  ImportError,
  listOf,
  type Members,
  membersOf,
  saysSomething,
  textsOf,
  withoutEndSlashes,
} from "./imported.ts";
import { isNamed, KongPlugins, referredTo } from "./kong-plugins.ts";

export function fromKong(document: unknown): Imported {
  const { services, plugins, consumers, routes, ...rest } = membersOf(document);
  if (services === undefined && routes === undefined)
    throw new ImportError("has no services: it is no declarative configuration of Kong");
  const notes: string[] = [];
  for (const name of Object.keys(rest).filter((name) => !name.startsWith("_")))
    notes.push(`${name}: is not carried over`);
  const all = listOf(services).map(membersOf);
  // Routes and plugins may also stand at the top level and name what they belong to.
  const placed = listOf(routes).map(membersOf);
  const of = (service: Members): Members[] =>
    placed.filter((route) => isNamed(service, referredTo(route["service"])));
  const homeless = placed.filter((route) => !all.some((service) => of(service).includes(route)));
  for (const route of homeless) notes.push(`route ${nameOf(route)}: has no service, and is not carried over`);
  const converted = new KongPlugins(notes, keysOf(consumers, notes), plugins);
  const upstreams = new Set<string>();
  const made = all.flatMap((service) =>
    routesOf(service, [...listOf(service["routes"]), ...of(service)], {
      plugins: converted,
      upstreams,
      notes,
    }),
  );
  const found = new Set<string>();
  const unique = made.filter(({ path, methods }) => {
    const key = `${String(path)} ${JSON.stringify(methods)}`;
    if (found.has(key)) notes.push(`path ${String(path)}: is there twice; the first is kept`);
    return !found.has(key) && found.add(key);
  });
  notes.push(
    "paths: Kong takes /api for a beginning of any path, also of /apix; here it is /api and what lies below",
    "Host: Kong tells a service its own name unless preserve_host is set; here it gets the client's",
  );
  return {
    from: "kong",
    policy: { apiVersion: "outrigger/v1", plugins: ["logging", "transform"], routes: unique },
    notes: [...new Set(notes)],
    settings: upstreams.size === 0 ? {} : { OUTRIGGER_UPSTREAM_ALLOW: [...upstreams].join(",") },
  };
}

function nameOf(value: unknown): string {
  const { name, id } = membersOf(value);
  return JSON.stringify(name ?? id ?? "(without a name)");
}

/** Converts the consumers' keys. The policy holds only their SHA-256, never a key in clear. */
function keysOf(consumers: unknown, notes: string[]): object[] {
  return listOf(consumers).flatMap((each) => {
    const consumer = membersOf(each);
    const { username, custom_id: customId, keyauth_credentials: credentials, ...rest } = consumer;
    const [userId = ""] = textsOf([username, customId]);
    for (const name of Object.keys(rest).filter((name) => !["id", "tags"].includes(name)))
      notes.push(`consumer ${nameOf({ name: userId })}: ${name} is not carried over`);
    return listOf(credentials).flatMap((credential, at) => {
      const { key, ttl } = membersOf(credential);
      if (typeof key !== "string" || userId === "") {
        notes.push(
          `consumer ${nameOf({ name: userId })}: a key that is no text, or nobody's, is not carried over`,
        );
        return [];
      }
      if (saysSomething(ttl))
        notes.push(`consumer ${nameOf({ name: userId })}: a key's ttl is not carried over`);
      return [{ sha256: hash("sha256", key), id: at === 0 ? userId : `${userId}-${at + 1}`, userId }];
    });
  });
}

function upstreamOf(service: Members, notes: string[]): { url: string; host: string } | undefined {
  const { url, protocol = "http", host, port, path = "" } = service;
  const text =
    typeof url === "string"
      ? url
      : `${String(protocol)}://${String(host)}${typeof port === "number" ? `:${port}` : ""}${String(path)}`;
  if (!URL.canParse(text) || !/^https?:/.test(text)) {
    notes.push(
      `service ${nameOf(service)}: ${text} is no http or https address; its routes go to OUTRIGGER_UPSTREAM`,
    );
    return undefined;
  }
  const { origin, hostname, pathname, protocol: scheme, port: given } = new URL(text);
  const place = `${hostname}:${given || (scheme === "https:" ? "443" : "80")}`;
  return { url: `${origin}${pathname.replace(/\/$/, "")}`, host: place };
}

interface Making {
  readonly plugins: KongPlugins;
  /** Hosts of upstreams that have to be allowed. */
  readonly upstreams: Set<string>;
  readonly notes: string[];
}

/** Fields that are read, and fields that only matter to Kong. */
const serviceMembers =
  "id name tags created_at updated_at url protocol host port path read_timeout enabled plugins routes".split(
    " ",
  );
const routeMembers =
  "id name tags created_at updated_at paths methods strip_path preserve_host plugins service protocols regex_priority path_handling https_redirect_status_code request_buffering response_buffering".split(
    " ",
  );
const otherMatches = ["hosts", "headers", "snis", "sources", "destinations", "expression"];

function tellRest(entity: Members, known: readonly string[], where: string, notes: string[]): void {
  const rest = Object.keys(entity).filter((name) => !known.includes(name) && saysSomething(entity[name]));
  if (rest.length > 0) notes.push(`${where}: not carried over: ${rest.join(", ")}`);
}

function routesOf(service: Members, routes: readonly unknown[], making: Making): Record<string, unknown>[] {
  const { upstreams, notes } = making;
  const where = `service ${nameOf(service)}`;
  if (service["enabled"] === false) {
    notes.push(`${where}: is switched off, and not carried over`);
    return [];
  }
  tellRest(service, serviceMembers, where, notes);
  const upstream = upstreamOf(service, notes);
  if (upstream !== undefined) upstreams.add(upstream.host);
  if (upstream?.url.startsWith("https:") === true)
    notes.push(`${where}: its certificate is checked here, whatever tls_verify says`);
  return routes.flatMap((each) => routeOf(membersOf(each), service, upstream?.url, making));
}

/** Makes one route for each path. */
function routeOf(
  route: Members,
  service: Members,
  upstream: string | undefined,
  { plugins, notes }: Making,
): Record<string, unknown>[] {
  const where = `route ${nameOf(route)}`;
  for (const name of otherMatches)
    if (listOf(route[name]).length > 0)
      notes.push(`${where}: ${name} is not carried over: routes are told apart by path and method`);
  tellRest(route, [...routeMembers, ...otherMatches], where, notes);
  const protocols = textsOf(route["protocols"]);
  if (protocols.length > 0 && !protocols.includes("http"))
    notes.push(`${where}: takes ${protocols.join(", ")} alone; here each route takes what the listener does`);
  const pluginConfig = plugins.of(service, nameOf(service), route, nameOf(route));
  const methods = textsOf(route["methods"]);
  const timeout = service["read_timeout"];
  return textsOf(route["paths"] ?? "/").flatMap((path) => {
    if (path.startsWith("~")) {
      notes.push(`${where}: ${path} is a regular expression; write its paths by hand`);
      return [];
    }
    const base = withoutEndSlashes(path);
    return [
      {
        path: `${base}/*`,
        ...(methods.length === 0 ? {} : { methods }),
        plugins: [
          "logging",
          ...Object.keys(pluginConfig).filter((name) => name !== "transform"),
          "transform",
        ],
        ...(Object.keys(pluginConfig).length === 0 ? {} : { pluginConfig }),
        ...(route["strip_path"] === false || base === "" ? {} : { stripPrefix: base }),
        ...(upstream === undefined ? {} : { upstream }),
        ...(typeof timeout === "number" ? { timeout } : {}),
      },
    ];
  });
}

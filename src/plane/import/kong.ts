// Kong's declarative configuration (decK, DB-less): services, routes, consumers, and the plugins that have a like here.
import { hash } from "node:crypto";
import {
  type Imported,
  ImportError,
  listOf,
  type Members,
  membersOf,
  textsOf,
  withoutEndSlashes,
} from "./imported.ts";
import { KongPlugins } from "./kong-plugins.ts";

export function fromKong(document: unknown): Imported {
  const { services, plugins, consumers, routes, ...rest } = membersOf(document);
  if (services === undefined && routes === undefined)
    throw new ImportError("has no services: it is no declarative configuration of Kong");
  const notes: string[] = [];
  for (const name of Object.keys(rest).filter((name) => !name.startsWith("_")))
    notes.push(`${name}: is not carried over`);
  for (const route of listOf(routes))
    notes.push(`route ${nameOf(route)}: has no service, and is not carried over`);
  const converted = new KongPlugins(notes, keysOf(consumers, notes));
  const shared = converted.take(plugins, "plugins");
  const upstreams = new Set<string>();
  const made = listOf(services).flatMap((service) =>
    routesOf(membersOf(service), converted, shared, upstreams, notes),
  );
  const found = new Set<string>();
  const unique = made.filter(({ path, methods }) => {
    const key = `${String(path)} ${JSON.stringify(methods)}`;
    if (found.has(key)) notes.push(`path ${String(path)}: is there twice; the first is kept`);
    return !found.has(key) && found.add(key);
  });
  notes.push(
    "paths: Kong takes /api for a beginning of any path, also of /apix; here it is /api and what lies below",
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

/** Keys of consumers by their hash: nothing here holds them in clear. */
function keysOf(consumers: unknown, notes: string[]): object[] {
  return listOf(consumers).flatMap((each) => {
    const consumer = membersOf(each);
    const { username, custom_id: customId, keyauth_credentials: credentials, ...rest } = consumer;
    const [userId = ""] = textsOf([username, customId]);
    for (const name of Object.keys(rest).filter((name) => !["id", "tags"].includes(name)))
      notes.push(`consumer ${nameOf({ name: userId })}: ${name} is not carried over`);
    return listOf(credentials).flatMap((credential, at) => {
      const { key } = membersOf(credential);
      if (typeof key !== "string" || userId === "") return [];
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

function routesOf(
  service: Members,
  plugins: KongPlugins,
  shared: Members,
  upstreams: Set<string>,
  notes: string[],
): Record<string, unknown>[] {
  const upstream = upstreamOf(service, notes);
  if (upstream !== undefined) upstreams.add(upstream.host);
  const ofService = { ...shared, ...plugins.take(service["plugins"], `service ${nameOf(service)}`) };
  const timeout = service["read_timeout"];
  return listOf(service["routes"]).flatMap((each) => {
    const route = membersOf(each);
    const where = `route ${nameOf(route)}`;
    for (const name of ["hosts", "headers", "snis", "sources", "destinations", "expression"])
      if (listOf(route[name]).length > 0)
        notes.push(`${where}: ${name} is not carried over: routes are told apart by path and method`);
    const pluginConfig = { ...ofService, ...plugins.take(route["plugins"], where) };
    const methods = textsOf(route["methods"]);
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
          ...(upstream === undefined ? {} : { upstream: upstream.url }),
          ...(typeof timeout === "number" ? { timeout } : {}),
        },
      ];
    });
  });
}

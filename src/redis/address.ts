// Parses REDIS_URL strictly. No part of the text is ever quoted: a password with an unescaped character may turn up
// anywhere, so problems are named by their place.
import { hostPort } from "../language/address-text.ts";

/** Paths of PEM files, and the name that the server's certificate must have. */
export interface RedisTlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly servername?: string | undefined;
}

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

/** The address of Redis and the login for it. */
export interface RedisAddress {
  readonly kind: "standalone" | "cluster" | "sentinel";
  /** The server, the Cluster's nodes to start from, or the sentinels; never empty. */
  readonly nodes: readonly [RedisNode, ...RedisNode[]];
  readonly tls: boolean;
  /** From the TLS settings beside REDIS_URL. */
  readonly tlsFiles?: RedisTlsFiles | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly db: number;
  /** Name of the master group; only with `sentinel`. */
  readonly masterName: string | undefined;
  /** The login for the sentinels themselves, if they ask for one. */
  readonly sentinelUsername: string | undefined;
  readonly sentinelPassword: string | undefined;
}

/** The hosts and ports of Redis, for messages; nothing else of the address. */
export function nodesText({ nodes }: RedisAddress): string {
  return nodes.map(({ host, port }) => hostPort(host, port)).join(", ");
}

/** REDIS_URL cannot be used. The message says why and holds nothing of the URL. */
export class RedisAddressError extends Error {
  override readonly name = "RedisAddressError";
}

const schemes = /^(rediss?)(?:\+(cluster|sentinel))?:\/\//u;

/**
 * @param url `redis[s]://[user:password@]host[:port][,host[:port]…][/db]`, `redis[s]+cluster://…` (a Cluster named by one
 *   node), or `redis[s]+sentinel://[user:password@]host[:port][,…]/master[/db][?sentinelUsername=…&sentinelPassword=…]`
 * @throws RedisAddressError
 */
export function parseRedisAddress(url: string): RedisAddress {
  const scheme = schemes.exec(url);
  if (scheme === null)
    throw new RedisAddressError("must begin with redis://, rediss://, redis+sentinel:// or redis+cluster://");
  if (/[\s#]/u.test(url)) throw new RedisAddressError("white space and # must be percent-encoded");
  // Some tools write the scheme before every node.
  const rest = url.slice(scheme[0].length).replaceAll(`,${scheme[0]}`, ",");
  const [location = "", query, ...more] = rest.split("?");
  if (more.length > 0) throw new RedisAddressError("a second ? must be percent-encoded");
  const [authority = "", ...path] = location.split("/");
  if (path.some((segment) => segment.includes("@"))) {
    throw new RedisAddressError("a / in the user or password must be percent-encoded");
  }
  const sentinel = scheme[2] === "sentinel";
  const members = authority
    .split(",")
    .map((text, index) => parseMember(text, index + 1, sentinel ? 26379 : 6379));
  const [first, ...others] = members.map((member) => member.node);
  if (first === undefined) throw new RedisAddressError("names no host");
  const clustered = scheme[2] === "cluster" || (!sentinel && others.length > 0);
  const masterName = sentinel ? parseMasterName(path.shift()) : undefined;
  const db = parseDb(path);
  if (clustered && db !== 0) throw new RedisAddressError("a Cluster has database 0 only");
  return {
    kind: sentinel ? "sentinel" : clustered ? "cluster" : "standalone",
    nodes: [first, ...others],
    tls: scheme[1] === "rediss",
    ...credentials(members),
    db,
    masterName,
    ...parseSentinelQuery(query, sentinel),
  };
}

interface Member {
  readonly node: RedisNode;
  /** `user:password` as written. */
  readonly userInfo: string | undefined;
}

function parseMember(text: string, position: number, defaultPort: number): Member {
  const parts = text.split("@");
  if (parts.length > 2) throw new RedisAddressError("an @ in the user or password must be percent-encoded");
  const [location = "", userInfo] = parts.reverse();
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?$/u.exec(location);
  const host = match?.[1] ?? match?.[2];
  if (match === null || host === undefined) {
    throw new RedisAddressError(`node ${position} is not host or host:port ([…] around IPv6)`);
  }
  const port = Number(match[3] ?? defaultPort);
  if (port < 1 || port > 65_535)
    throw new RedisAddressError(`the port of node ${position} is not 1 to 65535`);
  return { node: { host, port }, userInfo };
}

function credentials(members: readonly Member[]): Pick<RedisAddress, "username" | "password"> {
  const given = new Set(members.flatMap(({ userInfo }) => (userInfo === undefined ? [] : [userInfo])));
  if (given.size > 1) throw new RedisAddressError("the nodes have different users or passwords");
  const [userInfo] = given;
  if (userInfo === undefined) return { username: undefined, password: undefined };
  const colon = userInfo.indexOf(":"); // further ones belong to the password (RFC 3986 section 3.2.1)
  const [username, password] = [userInfo.slice(0, colon), userInfo.slice(colon + 1)];
  if (colon < 0 || password === "") {
    throw new RedisAddressError("has a user without a password (write :password@ for a password alone)");
  }
  return { username: username === "" ? undefined : decode(username), password: decode(password) };
}

function parseMasterName(segment: string | undefined): string {
  if (!segment) throw new RedisAddressError("names no master: redis+sentinel://host:port,host:port/<master>");
  const name = decode(segment);
  if (!/^[A-Za-z0-9._-]+$/u.test(name))
    throw new RedisAddressError("the master's name has a sign that Sentinel refuses");
  return name;
}

function parseDb(path: readonly string[]): number {
  const [db = "", ...more] = path;
  if (more.length > 0 || !/^[0-9]{0,5}$/u.test(db))
    throw new RedisAddressError("the database is not a number");
  return Number(db);
}

function parseSentinelQuery(
  query: string | undefined,
  sentinel: boolean,
): Pick<RedisAddress, "sentinelUsername" | "sentinelPassword"> {
  const found: Record<string, string> = {};
  for (const pair of query === undefined ? [] : query.split("&")) {
    const [name = "", value, ...more] = pair.split("=");
    if (!sentinel || !value || more.length > 0 || !["sentinelUsername", "sentinelPassword"].includes(name)) {
      throw new RedisAddressError(
        "has a query: only Sentinel takes one, with sentinelUsername and sentinelPassword",
      );
    }
    if (name in found) throw new RedisAddressError("has a query with one name twice");
    found[name] = decode(value);
  }
  return { sentinelUsername: found["sentinelUsername"], sentinelPassword: found["sentinelPassword"] };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RedisAddressError("has a % that is no percent-encoding");
  }
}

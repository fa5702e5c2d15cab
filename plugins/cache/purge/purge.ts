// Defines and parses purges: by URL, prefix, tag or all; hard (removes entries) or soft (marks them stale).
import { z } from "zod";
import type { Entry } from "../store/entry.ts";
import { targetOf, upstreamOf } from "../key.ts";

const purge = z.strictObject({
  kind: z.enum(["url", "prefix", "tag", "all"]),
  value: z.string().max(8_192),
  soft: z.boolean(),
  /** The region where it was made: a region's relay passes on only purges of its own region. */
  region: z.string().max(64),
  /** The only upstream concerned, for a purge that a response asks for: it must not reach others. Absent = all. */
  upstream: z.string().max(512).optional(),
});

/**
 * `url`: a key of key.ts, `host/path?query`, or `/path?query` of any host. `prefix`: the beginning of `host/path` or
 * `/path`. `tag`: one tag. `all`: value "".
 */
export type Purge = z.output<typeof purge>;

/** @throws on anything that is not a purge of this version */
export function parsePurge(json: string): Purge {
  return purge.parse(JSON.parse(json));
}

/** Whether the purge names one whole URL key, whose entries are found without a search. */
export function isExact({ kind, value, upstream }: Purge): boolean {
  return upstream === undefined && kind === "url" && value.includes("://");
}

/** Whether a purge concerns an entry. */
export function concerns({ kind, value, upstream }: Purge, entry: Pick<Entry, "url" | "tags">): boolean {
  if (upstream !== undefined && upstream !== upstreamOf(entry.url)) return false;
  if (kind === "all") return true;
  if (kind === "tag") return entry.tags.includes(value);
  if (kind === "url" && entry.url === value) return true;
  const { host, path } = targetOf(entry.url);
  const subject = value.startsWith("/") ? path : host + path;
  return kind === "url" ? subject === value : subject.startsWith(value);
}

/**
 * Parses a response's field `Outrigger-Purge: tag=a, prefix=/b, url=/c, all; soft`, by which an upstream purges its own
 * answers. Unknown members, and those after the first 64, are left out; `soft` applies to the member before it.
 */
export function parsePurgeField(value: string, region: string, upstream: string): Purge[] {
  const purges: Purge[] = [];
  for (const member of value.split(",").slice(0, maxMembers)) {
    const [target = "", ...parameters] = member.split(";").map((part) => part.trim());
    const equals = target.indexOf("=");
    const kind = equals === -1 ? target : target.slice(0, equals);
    const argument = equals === -1 ? "" : target.slice(equals + 1).replaceAll('"', "");
    const known = kind === "url" || kind === "prefix" || kind === "tag";
    if (known ? argument === "" : kind !== "all" || argument !== "") continue;
    purges.push({ kind, value: argument, soft: parameters.includes("soft"), region, upstream } as Purge);
  }
  return purges;
}

const maxMembers = 64;

/** Parses a response's tags: Cache-Tag (commas) and Surrogate-Key (blanks); overlong and surplus ones are left out. */
export function parseTags(cacheTag: string | undefined, surrogateKey: string | undefined): string[] {
  const tags = new Set<string>();
  for (const tag of `${cacheTag ?? ""},${surrogateKey ?? ""}`.split(/[\s,]+/)) {
    if (tag !== "" && tag.length <= 128 && tags.size < 128) tags.add(tag);
  }
  return [...tags];
}

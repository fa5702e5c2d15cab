// What a purge is: by URL, prefix, tag or all; hard (removed) or soft (marked stale).
import { z } from "zod";
import type { Entry } from "../store/entry.ts";
import { targetOf, upstreamOf } from "../key.ts";

const purge = z.strictObject({
  kind: z.enum(["url", "prefix", "tag", "all"]),
  value: z.string().max(8_192),
  soft: z.boolean(),
  /** Where it was made: a region's relay passes on only what is its own. */
  region: z.string().max(64),
  /** The upstream whose answers are concerned: what a response asks for reaches no further. Absent = all. */
  upstream: z.string().max(512).optional(),
});

/**
 * `url`: a key of key.ts, `host/path?query`, or `/path?query` of any host. `prefix`: the beginning of `host/path` or
 * `/path`. `tag`: one tag. `all`: value "".
 */
export type Purge = z.output<typeof purge>;

/** Throws on anything that is no purge of this version. */
export function parsePurge(json: string): Purge {
  return purge.parse(JSON.parse(json));
}

/** Whether the URL is a whole key, which is found without a search. */
export function isExact({ kind, value, upstream }: Purge): boolean {
  return upstream === undefined && kind === "url" && value.includes("://");
}

/** Whether a purge is meant for an entry. */
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
 * Purges of an upstream's own answers that it asks for in a response: `Outrigger-Purge: tag=a, prefix=/b, url=/c, all; soft`. Members it
 * does not know are left out; `soft` after a member concerns that member.
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

/** Tags of a response: Cache-Tag (commas) and Surrogate-Key (blanks); overlong and surplus ones are left out. */
export function parseTags(cacheTag: string | undefined, surrogateKey: string | undefined): string[] {
  const tags = new Set<string>();
  for (const tag of `${cacheTag ?? ""},${surrogateKey ?? ""}`.split(/[\s,]+/)) {
    if (tag !== "" && tag.length <= 128 && tags.size < 128) tags.add(tag);
  }
  return [...tags];
}

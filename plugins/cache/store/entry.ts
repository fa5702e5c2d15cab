// A stored response: everything that a hit needs, computed once when it is stored.
import type { ForwardedDiff } from "../flow/forwarded-diff.ts";
import type { KeptBody } from "./body-copy.ts";

export interface Entry {
  /** Key of the URL, see key.ts. */
  readonly url: string;
  /** Whose it is and by which policy: what key.ts made of that, of the identity and of the keyed request fields. */
  readonly partition: string;
  readonly status: number;
  /** name, value, … without hop-by-hop fields, Age, purge tags and what the directives keep from being stored. */
  readonly fields: readonly string[];
  readonly body: KeptBody;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
  /** Date of the response, epoch ms. */
  readonly dateMs: number;
  /** The moment at which its age was 0, epoch ms: age = now - bornAt (RFC 9111 section 4.2.3). */
  readonly bornAt: number;
  /** When the upstream was asked for it, epoch ms: a purge after that hits it. */
  readonly requestedAt: number;
  /** Fresh before this, epoch ms. A soft purge lowers it. */
  freshUntil: number;
  /** How long after `freshUntil` it may be served while it is refreshed, and when the upstream fails. */
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  /** False: must-revalidate, proxy-revalidate, s-maxage or no-cache forbid any stale use (section 4.2.4). */
  readonly mayServeStale: boolean;
  /** no-cache: never without asking the upstream. */
  readonly alwaysValidate: boolean;
  readonly immutable: boolean;
  /** public or s-maxage: what one caller got is fit for all. */
  readonly forAnyone: boolean;
  /** Its lifetime is the policy's or a guess, not the upstream's word. */
  readonly implicit: boolean;
  /** Lower-case field names of Vary, and the request's normalised values of them. */
  readonly vary: readonly string[];
  readonly varyValues: readonly string[];
  readonly tags: readonly string[];
  /** How its request was changed behind the cache, for a refresh; undefined = not known, or none to come. */
  readonly forwardedDiff: ForwardedDiff | undefined;
}

/** What is known of an entry before its body is there. */
export type EntryFacts = Omit<Entry, "body" | "forwardedDiff">;

/** The facts of an entry as an object of their own. */
export function factsOf(entry: Entry): EntryFacts {
  const { url, partition, status, fields, etag, lastModified, dateMs, bornAt, requestedAt, freshUntil } =
    entry;
  const { staleWhileRevalidateMs, staleIfErrorMs, mayServeStale, alwaysValidate, immutable } = entry;
  const { forAnyone, implicit, vary, varyValues, tags } = entry;
  return {
    url,
    partition,
    status,
    fields,
    etag,
    lastModified,
    dateMs,
    bornAt,
    requestedAt,
    freshUntil,
    staleWhileRevalidateMs,
    staleIfErrorMs,
    mayServeStale,
    alwaysValidate,
    immutable,
    forAnyone,
    implicit,
    vary,
    varyValues,
    tags,
  };
}

/** Whether the entry has something that the upstream can compare (RFC 9111 section 4.3.1). */
export function hasValidator(entry: Entry): boolean {
  return entry.etag !== undefined || entry.lastModified !== undefined;
}

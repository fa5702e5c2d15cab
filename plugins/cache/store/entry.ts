// Defines a stored response: everything that a hit needs, computed once when it is stored.
import type { ForwardedDiff } from "../flow/forwarded-diff.ts";
import type { KeptBody } from "./body-copy.ts";

export interface Entry {
  /** Key of the URL, see key.ts. */
  readonly url: string;
  /** Says whose entry it is and under which policy: made by key.ts from policy, identity and keyed request fields. */
  readonly partition: string;
  readonly status: number;
  /** name, value, … without hop-by-hop fields, Age, purge tags and fields that the directives forbid to store. */
  readonly fields: readonly string[];
  readonly body: KeptBody;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
  /** Date of the response, epoch ms. */
  readonly dateMs: number;
  /** The moment at which its age was 0, epoch ms: age = now - bornAt (RFC 9111 section 4.2.3). */
  readonly bornAt: number;
  /** When the upstream was asked for it, epoch ms: every later purge applies to it. */
  readonly requestedAt: number;
  /** Fresh before this, epoch ms. A soft purge lowers it. */
  freshUntil: number;
  /** How long after `freshUntil` it may be served while it is refreshed, and when the upstream fails. */
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  /** False if must-revalidate, proxy-revalidate, s-maxage or no-cache forbids any stale use (section 4.2.4). */
  readonly mayServeStale: boolean;
  /** no-cache: never used without asking the upstream. */
  readonly alwaysValidate: boolean;
  readonly immutable: boolean;
  /** public, s-maxage or `scope: shared`: every caller may get the answer that one caller got. */
  readonly forAnyone: boolean;
  /** The upstream set no lifetime: it is the policy's or a heuristic; never with `scope: shared`. */
  readonly implicit: boolean;
  /** Lower-case field names of Vary, and the request's normalised values of them. */
  readonly vary: readonly string[];
  readonly varyValues: readonly string[];
  readonly tags: readonly string[];
  /** How its request was changed behind the cache, for a refresh; undefined = not known, or no refresh will come. */
  readonly forwardedDiff: ForwardedDiff | undefined;
}

/** The facts of an entry that are known before its body is complete. */
export type EntryFacts = Omit<Entry, "body" | "forwardedDiff">;

/** @returns the facts of an entry as a new object */
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

// A stored response: everything that a hit needs, computed once when it is stored.
import type { ForwardedDiff } from "../flow/forwarded-diff.ts";

export interface Entry {
  /** Key of the URL, see key.ts. */
  readonly url: string;
  /** Whose it is: "" for everybody, else what key.ts made of the identity and of the keyed request fields. */
  readonly partition: string;
  readonly status: number;
  /** name, value, … without hop-by-hop fields, Age, purge tags and what the directives keep from being stored. */
  readonly fields: readonly string[];
  /** Of `bodyMemory`, until the memory tier keeps it for good. */
  body: Buffer;
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

/** An entry with all its fields in one object, and no literal: see url-index.ts. */
export class StoredEntry implements Entry {
  readonly url: string;
  readonly partition: string;
  readonly status: number;
  readonly fields: readonly string[];
  body: Buffer;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
  readonly dateMs: number;
  readonly bornAt: number;
  readonly requestedAt: number;
  freshUntil: number;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  readonly mayServeStale: boolean;
  readonly alwaysValidate: boolean;
  readonly immutable: boolean;
  readonly forAnyone: boolean;
  readonly implicit: boolean;
  readonly vary: readonly string[];
  readonly varyValues: readonly string[];
  readonly tags: readonly string[];
  readonly forwardedDiff: ForwardedDiff | undefined;

  constructor(facts: EntryFacts, body: Buffer, forwardedDiff: ForwardedDiff | undefined) {
    this.url = facts.url;
    this.partition = facts.partition;
    this.status = facts.status;
    this.fields = facts.fields;
    this.body = body;
    this.etag = facts.etag;
    this.lastModified = facts.lastModified;
    this.dateMs = facts.dateMs;
    this.bornAt = facts.bornAt;
    this.requestedAt = facts.requestedAt;
    this.freshUntil = facts.freshUntil;
    this.staleWhileRevalidateMs = facts.staleWhileRevalidateMs;
    this.staleIfErrorMs = facts.staleIfErrorMs;
    this.mayServeStale = facts.mayServeStale;
    this.alwaysValidate = facts.alwaysValidate;
    this.immutable = facts.immutable;
    this.forAnyone = facts.forAnyone;
    this.implicit = facts.implicit;
    this.vary = facts.vary;
    this.varyValues = facts.varyValues;
    this.tags = facts.tags;
    this.forwardedDiff = forwardedDiff;
  }
}

// The objects around an entry with what the allocator adds, on Node 26: held by a test.
const OBJECT_BYTES = 880;

/** Bytes that an entry holds, with the strings and objects around it. */
export function entryBytes(entry: Entry): number {
  const { body, url, partition, fields, forwardedDiff } = entry;
  let bytes = OBJECT_BYTES + body.length + text(url) + text(partition);
  // Names are shared with all other messages; a value may be part of a longer string.
  for (let i = 1; i < fields.length; i += 2) bytes += 8 + text(fields[i] as string);
  for (const part of entry.vary) bytes += text(part);
  for (const part of entry.varyValues) bytes += text(part);
  for (const part of entry.tags) bytes += text(part);
  if (forwardedDiff !== undefined) {
    for (const part of forwardedDiff.set) bytes += text(part);
    for (const part of forwardedDiff.removed) bytes += text(part);
  }
  return bytes;
}

// A V8 string: header, length, one byte a character for the Latin-1 text of fields, and the reference to it.
function text(part: string): number {
  return 32 + part.length;
}

/** Whether the entry has something that the upstream can compare (RFC 9111 section 4.3.1). */
export function hasValidator(entry: Entry): boolean {
  return entry.etag !== undefined || entry.lastModified !== undefined;
}

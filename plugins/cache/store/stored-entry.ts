// Holds an entry and its place in the memory tier in one object. Separate objects would take more memory than a small
// answer itself.
import type { ForwardedDiff } from "../flow/forwarded-diff.ts";
import { isEverybodys } from "../key.ts";
import { inOwnMemory, type KeptBody, sizeOf } from "./body-copy.ts";
import type { Entry, EntryFacts } from "./entry.ts";
import type { HashTableMember } from "./intrusive-hash-table.ts";
import { ownTexts, stringBytes } from "./own-text.ts";
import type { Queue, QueueMember } from "./queue.ts";

const flag = { mayServeStale: 1, alwaysValidate: 2, immutable: 4, forAnyone: 8, implicit: 16 };

// A class, not an object literal: if all objects of a literal survive the warm-up, V8 14 allocates later ones directly
// in the old generation, where they keep everything that they once held alive until a full collection.
export class StoredEntry implements Entry, HashTableMember<StoredEntry>, QueueMember<StoredEntry> {
  readonly url: string;
  partition: string;
  readonly status: number;
  fields: readonly string[];
  body: KeptBody;
  etag: string | undefined;
  lastModified: string | undefined;
  // HTTP dates are whole seconds; stored as seconds, the number needs no heap object.
  readonly #dateSeconds: number;
  readonly bornAt: number;
  readonly requestedAt: number;
  freshUntil: number;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  readonly #flags: number;
  vary: readonly string[];
  varyValues: readonly string[];
  tags: readonly string[];
  forwardedDiff: ForwardedDiff | undefined;

  // Only the memory tier uses the rest.
  bytes = 0;
  /** Hash of URL and partition, set by the index. */
  hash = 0;
  next: StoredEntry | undefined = undefined;
  /** The queue that holds it, and its neighbours there. */
  queue: Queue<StoredEntry> | undefined = undefined;
  older: StoredEntry | undefined = undefined;
  newer: StoredEntry | undefined = undefined;
  /** Used since it was put into its queue, or since eviction last passed it. */
  visited = false;
  /** See owed-purges.ts. */
  judged = 0;

  constructor(facts: EntryFacts, body: KeptBody, forwardedDiff: ForwardedDiff | undefined) {
    this.url = facts.url;
    this.partition = facts.partition;
    this.status = facts.status;
    this.fields = facts.fields;
    this.body = body;
    this.etag = facts.etag;
    this.lastModified = facts.lastModified;
    this.#dateSeconds = Math.floor(facts.dateMs / 1000);
    this.bornAt = facts.bornAt;
    this.requestedAt = facts.requestedAt;
    this.freshUntil = facts.freshUntil;
    this.staleWhileRevalidateMs = facts.staleWhileRevalidateMs;
    this.staleIfErrorMs = facts.staleIfErrorMs;
    this.#flags = flagsOf(facts);
    this.vary = facts.vary;
    this.varyValues = facts.varyValues;
    this.tags = facts.tags;
    this.forwardedDiff = forwardedDiff;
  }

  get dateMs(): number {
    return this.#dateSeconds * 1000;
  }

  get mayServeStale(): boolean {
    return (this.#flags & flag.mayServeStale) !== 0;
  }

  get alwaysValidate(): boolean {
    return (this.#flags & flag.alwaysValidate) !== 0;
  }

  get immutable(): boolean {
    return (this.#flags & flag.immutable) !== 0;
  }

  get forAnyone(): boolean {
    return (this.#flags & flag.forAnyone) !== 0;
  }

  get implicit(): boolean {
    return (this.#flags & flag.implicit) !== 0;
  }

  /** @returns bytes that it holds as received, with the strings and objects around it */
  receivedBytes(): number {
    const { fields, vary, varyValues, tags, forwardedDiff } = this;
    let bytes = this.#bytesBesideTexts() + 8 * fields.length;
    // Only values are counted: frequent names are shared with all other messages.
    for (let i = 1; i < fields.length; i += 2) bytes += partBytes + (fields[i] as string).length;
    for (const list of [vary, varyValues, tags]) bytes += bytesOfParts(list);
    if (forwardedDiff === undefined) return bytes;
    return bytes + bytesOfParts(forwardedDiff.set) + bytesOfParts(forwardedDiff.removed);
  }

  /** Copies body and texts out of the received buffers, and shares equal texts. @returns bytes that it holds then */
  settle(): number {
    this.body = inOwnMemory(this.body);
    const fields = ownTexts(this.fields);
    this.fields = fields.texts;
    this.etag = ownOf(this.etag, fields.texts);
    this.lastModified = ownOf(this.lastModified, fields.texts);
    let bytes = this.#bytesBesideTexts() + fields.bytes;
    const own = (texts: readonly string[]): readonly string[] => {
      if (texts.length === 0) return texts;
      const kept = ownTexts(texts);
      bytes += listBytes + kept.bytes;
      return kept.texts;
    };
    this.vary = own(this.vary);
    this.varyValues = own(this.varyValues);
    this.tags = own(this.tags);
    if (this.forwardedDiff !== undefined) {
      const { set, removed } = this.forwardedDiff;
      bytes += listBytes;
      this.forwardedDiff = { set: own(set), removed: own(removed) };
    }
    return bytes;
  }

  #bytesBesideTexts(): number {
    const { body, partition } = this;
    const bytes =
      objectBytes +
      stringBytes(this.url) +
      (typeof body === "string" ? stringBytes(body) : bodyBytes + sizeOf(body));
    // Another partition than everybody's adds its own text and a place in the URL's list of partitions.
    return isEverybodys(partition) ? bytes : bytes + partitionBytes + stringBytes(partition);
  }
}

/** @returns the string of a validator in `fields`; a copy if it is not there, as when it combines several lines */
function ownOf(text: string | undefined, fields: readonly string[]): string | undefined {
  if (text === undefined) return undefined;
  return fields.find((part) => part === text) ?? ownTexts([text]).texts[0];
}

function bytesOfParts(parts: readonly string[]): number {
  let bytes = parts.length === 0 ? 0 : listBytes;
  for (const part of parts) bytes += partBytes + part.length;
  return bytes;
}

// Measured on Node 26, with the allocator's overhead: `node test/bench/cache-entry.ts` prints them, a test checks them.
/** The entry, those of its numbers that are heap objects, its list of fields, its share of the tables. */
const objectBytes = 352;
/** Overhead of a body that is not a string; the Buffer view that a body has in the window is not counted. */
const bodyBytes = 380;
const partitionBytes = 96;
/** A slice of a longer string: the object, and the reference to it. */
const partBytes = 40;

/** Overhead of an array around its references, or of an object with two of them. */
const listBytes = 48;

function flagsOf(facts: EntryFacts): number {
  let flags = 0;
  if (facts.mayServeStale) flags |= flag.mayServeStale;
  if (facts.alwaysValidate) flags |= flag.alwaysValidate;
  if (facts.immutable) flags |= flag.immutable;
  if (facts.forAnyone) flags |= flag.forAnyone;
  if (facts.implicit) flags |= flag.implicit;
  return flags;
}

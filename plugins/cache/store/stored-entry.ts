// An entry with its place in the memory tier, in one object: what stands around a small answer would be most of what the
// answer takes.
import type { ForwardedDiff } from "../flow/forwarded-diff.ts";
import { inOwnMemory, type KeptBody, sizeOf } from "./body-copy.ts";
import type { Entry, EntryFacts } from "./entry.ts";
import type { HashTableMember } from "./intrusive-hash-table.ts";
import { ownText } from "./own-text.ts";
import type { Queue, QueueMember } from "./queue.ts";

const flag = { mayServeStale: 1, alwaysValidate: 2, immutable: 4, forAnyone: 8, implicit: 16 };

// A class, no literal: V8 14 puts what a literal makes into the old generation once it has seen a warm-up in which all
// of it lives on, and there it keeps what it once held until a full collection.
export class StoredEntry implements Entry, HashTableMember<StoredEntry>, QueueMember<StoredEntry> {
  readonly url: string;
  readonly partition: string;
  readonly status: number;
  fields: readonly string[];
  body: KeptBody;
  etag: string | undefined;
  lastModified: string | undefined;
  // Dates of HTTP are whole seconds; as such they are no objects.
  readonly #dateSeconds: number;
  readonly bornAt: number;
  readonly requestedAt: number;
  freshUntil: number;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
  readonly #flags: number;
  readonly vary: readonly string[];
  readonly varyValues: readonly string[];
  readonly tags: readonly string[];
  readonly forwardedDiff: ForwardedDiff | undefined;

  // The rest is the memory tier's.
  bytes = 0;
  /** Of URL and partition. */
  hash = 0;
  next: StoredEntry | undefined = undefined;
  /** The queue it stands in, and its neighbours there. */
  queue: Queue<StoredEntry> | undefined = undefined;
  older: StoredEntry | undefined = undefined;
  newer: StoredEntry | undefined = undefined;
  /** Asked for since it was put in, or since eviction last passed by. */
  visited = false;

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

  /** Bytes that it holds as it came, with the strings and objects around it. */
  receivedBytes(): number {
    let bytes = this.#bytesBesideFields();
    for (let i = 1; i < this.fields.length; i += 2) bytes += partBytes + (this.fields[i] as string).length;
    return bytes;
  }

  /** Lets go of all that it came with and shares what it has in common with others. @returns bytes that it holds then */
  settle(): number {
    this.body = inOwnMemory(this.body);
    const fields = this.fields.slice();
    let bytes = this.#bytesBesideFields();
    for (let i = 1; i < fields.length; i += 2) {
      const value = fields[i] as string;
      const own = ownText(value);
      fields[i] = own.text;
      if (!own.shared) bytes += stringBytes(value);
      if (this.etag === value) this.etag = own.text;
      else if (this.lastModified === value) this.lastModified = own.text;
    }
    this.fields = fields;
    return bytes;
  }

  #bytesBesideFields(): number {
    const { body, fields, partition, forwardedDiff } = this;
    let bytes = objectBytes + stringBytes(this.url) + 8 * fields.length;
    bytes += typeof body === "string" ? stringBytes(body) : bodyBytes + sizeOf(body);
    // The list of a URL's partitions.
    if (partition !== "") bytes += partitionBytes + stringBytes(partition);
    for (const part of this.vary) bytes += partBytes + part.length;
    for (const part of this.varyValues) bytes += partBytes + part.length;
    for (const part of this.tags) bytes += partBytes + part.length;
    if (forwardedDiff !== undefined) {
      for (const part of forwardedDiff.set) bytes += partBytes + part.length;
      for (const part of forwardedDiff.removed) bytes += partBytes + part.length;
    }
    return bytes;
  }
}

// On Node 26, with what the allocator adds: `node test/bench/cache-entry.ts` shows them, a test holds them.
/** The entry, its numbers that are objects, its list of fields, its share of the tables. */
const objectBytes = 352;
/** Around the bytes of a body that is no text; the view of a Buffer in the window is not counted. */
const bodyBytes = 380;
const partitionBytes = 96;
/** Part of a longer string: the object, and the reference to it. */
const partBytes = 40;

/** A V8 string of its own, one byte a character for the Latin-1 text of fields. */
function stringBytes(text: string): number {
  return 16 + ((text.length + 7) & ~7);
}

function flagsOf(facts: EntryFacts): number {
  let flags = 0;
  if (facts.mayServeStale) flags |= flag.mayServeStale;
  if (facts.alwaysValidate) flags |= flag.alwaysValidate;
  if (facts.immutable) flags |= flag.immutable;
  if (facts.forAnyone) flags |= flag.forAnyone;
  if (facts.implicit) flags |= flag.implicit;
  return flags;
}

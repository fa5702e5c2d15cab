// Sorts recorded requests by time, in little memory. Their texts are in an unlinked file, which vanishes with the
// process however it ends; memory holds only each request's offset and time.
import { randomUUID } from "node:crypto";
import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RecordedRequest } from "./recorded-request.ts";

/** Below this size nothing is written to the file. */
const blockBytes = 1024 * 1024;
/** Most blocks of the file in memory while it is read: usually the lines are nearly in order. */
const maxBlocks = 16;

export class KeptRequests {
  #at = new Float64Array(1_024);
  #from = new Float64Array(1_024);
  #count = 0;
  /** Texts that are not in the file yet. */
  #last = Buffer.alloc(0);
  #texts: string[] = [];
  #textsLength = 0;
  #written = 0;
  #fd: number | undefined;
  readonly #blocks = new Map<number, Buffer>();

  get count(): number {
    return this.#count;
  }

  /** @throws Error when the disk is full */
  add(request: RecordedRequest): void {
    const { fields, ...rest } = request;
    const text = `${JSON.stringify([[...fields], rest])}\n`;
    if (this.#count === this.#at.length) {
      this.#at = grown(this.#at);
      this.#from = grown(this.#from);
    }
    this.#at[this.#count] = request.atMs;
    this.#from[this.#count] = this.#written + this.#textsLength;
    this.#count += 1;
    this.#texts.push(text);
    this.#textsLength += Buffer.byteLength(text);
    if (this.#textsLength >= blockBytes) this.#write();
  }

  /** Yields the requests by time; equal times keep the order of `add`. Afterwards no more may be added. */
  *inOrder(): Generator<RecordedRequest> {
    this.#last = Buffer.from(this.#texts.join(""));
    this.#texts = [];
    const order = Uint32Array.from({ length: this.#count }, (_, i) => i);
    const at = this.#at;
    order.sort((a, b) => (at[a] as number) - (at[b] as number) || a - b);
    for (const index of order) yield this.#read(index);
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #write(): void {
    this.#fd ??= openNameless();
    const bytes = Buffer.from(this.#texts.join(""));
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
    this.#written += bytes.length;
    this.#texts = [];
    this.#textsLength = 0;
  }

  #read(index: number): RecordedRequest {
    const from = this.#from[index] as number;
    const end =
      index + 1 < this.#count ? (this.#from[index + 1] as number) : this.#written + this.#last.length;
    const [fields, rest] = JSON.parse(this.#text(from, end).toString()) as [
      [string, string][],
      Omit<RecordedRequest, "fields">,
    ];
    return { ...rest, fields: new Map(fields) };
  }

  #text(from: number, end: number): Buffer {
    // A request is either wholly in the file or wholly in memory.
    if (from >= this.#written) return this.#last.subarray(from - this.#written, end - this.#written);
    const first = Math.floor(from / blockBytes);
    const parts: Buffer[] = [];
    for (let block = first; block * blockBytes < end; block += 1) {
      const start = block * blockBytes;
      parts.push(this.#block(block).subarray(Math.max(0, from - start), end - start));
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  #block(block: number): Buffer {
    const known = this.#blocks.get(block);
    if (known !== undefined) return known;
    const [oldest] = this.#blocks.keys();
    const reused =
      this.#blocks.size === maxBlocks && oldest !== undefined ? this.#blocks.get(oldest) : undefined;
    if (reused !== undefined) this.#blocks.delete(oldest as number);
    const bytes = reused ?? Buffer.allocUnsafe(blockBytes);
    for (let done = 0; done < bytes.length;) {
      const read = readSync(this.#fd as number, bytes, done, bytes.length - done, block * blockBytes + done);
      if (read === 0) break;
      done += read;
    }
    this.#blocks.set(block, bytes);
    return bytes;
  }
}

function grown(list: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const next = new Float64Array(2 * list.length);
  next.set(list);
  return next;
}

function openNameless(): number {
  const path = join(tmpdir(), `outrigger-replay-${randomUUID()}`);
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  unlinkSync(path);
  return fd;
}

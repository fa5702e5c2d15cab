// Reads and writes the wire format of protobuf (protobuf.dev/programming-guides/encoding) as far as the signals need
// it. A nested message's length is filled in after it, into four reserved bytes: padded varints are legal.

const types = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const lengthBytes = 4;

export class ProtoWriter {
  #buffer: Buffer;
  #at = 0;

  constructor(size: number) {
    this.#buffer = Buffer.allocUnsafe(size);
  }

  get length(): number {
    return this.#at;
  }

  /** @returns a copy of what was written; the writer is then empty */
  take(): Buffer {
    const bytes = Buffer.from(this.#buffer.subarray(0, this.#at));
    this.#at = 0;
    return bytes;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#at++] = rest;
  }

  #tag(field: number, type: number): void {
    this.#varint(field * 8 + type);
  }

  /** Begins a nested message. @returns a position to pass to `end` */
  begin(field: number): number {
    this.#reserve(16);
    this.#tag(field, types.bytes);
    this.#at += lengthBytes;
    return this.#at;
  }

  end(start: number): void {
    let rest = this.#at - start;
    for (let i = lengthBytes; i > 0; i -= 1) {
      this.#buffer[start - i] = (rest % 128) | (i > 1 ? 0x80 : 0);
      rest = Math.floor(rest / 128);
    }
  }

  /** @param value a non-negative integer */
  varint(field: number, value: number): void {
    this.#reserve(16);
    this.#tag(field, types.varint);
    this.#varint(value);
  }

  fixed32(field: number, value: number): void {
    this.#reserve(16);
    this.#tag(field, types.fixed32);
    this.#at = this.#buffer.writeUInt32LE(value, this.#at);
  }

  /** @param value a non-negative integer */
  fixed64(field: number, value: number): void {
    this.#reserve(16);
    this.#tag(field, types.fixed64);
    this.#fixed64(value);
  }

  /** Several fixed64 values, packed. */
  fixed64s(field: number, values: Iterable<number>): void {
    const start = this.begin(field);
    for (const value of values) {
      this.#reserve(8);
      this.#fixed64(value);
    }
    this.end(start);
  }

  #fixed64(value: number): void {
    this.#at = this.#buffer.writeUInt32LE(value % 4_294_967_296, this.#at);
    this.#at = this.#buffer.writeUInt32LE(Math.floor(value / 4_294_967_296), this.#at);
  }

  /** Several doubles, packed. */
  doubles(field: number, values: Iterable<number>): void {
    const start = this.begin(field);
    for (const value of values) {
      this.#reserve(8);
      this.#at = this.#buffer.writeDoubleLE(value, this.#at);
    }
    this.end(start);
  }

  double(field: number, value: number): void {
    this.#reserve(16);
    this.#tag(field, types.fixed64);
    this.#at = this.#buffer.writeDoubleLE(value, this.#at);
  }

  /** Nanoseconds since the epoch as fixed64, computed in two halves: a double cannot hold them exactly. */
  nanos(field: number, epochMs: number, offsetMs: number): void {
    const offsetNs = Math.round(offsetMs * 1e6);
    const carriedMs = Math.floor(offsetNs / 1e6);
    const ms = epochMs + carriedMs;
    // ms × 10^6 = (upper × 2^20 + lower) × 10^6, where each part is exact.
    const upper = Math.floor(ms / 1_048_576) * 1e6;
    const low = (upper % 4_096) * 1_048_576 + (ms % 1_048_576) * 1e6 + (offsetNs - carriedMs * 1e6);
    const high = Math.floor(upper / 4_096) + Math.floor(low / 4_294_967_296);
    this.#reserve(16);
    this.#tag(field, types.fixed64);
    this.#at = this.#buffer.writeUInt32LE(low % 4_294_967_296, this.#at);
    this.#at = this.#buffer.writeUInt32LE(high, this.#at);
  }

  string(field: number, value: string): void {
    // At most three UTF-8 bytes per UTF-16 unit.
    this.#reserve(value.length * 3 + 16);
    const start = this.begin(field);
    this.#at += this.#buffer.write(value, this.#at, "utf8");
    this.end(start);
  }

  /** @param value hex digits */
  hex(field: number, value: string): void {
    this.#reserve(value.length / 2 + 16);
    this.#tag(field, types.bytes);
    this.#varint(value.length / 2);
    this.#at += this.#buffer.write(value, this.#at, "hex");
  }

  bytes(field: number, value: Buffer): void {
    this.#reserve(value.length + 16);
    this.#tag(field, types.bytes);
    this.#varint(value.length);
    this.raw(value);
  }

  raw(value: Buffer): void {
    this.#reserve(value.length);
    this.#at += value.copy(this.#buffer, this.#at);
  }
}

/** Finds single fields in a message from outside; a malformed message has none. */
export class ProtoReader {
  readonly #buffer: Buffer;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  bytes(field: number): Buffer | undefined {
    const found = this.#find(field, types.bytes);
    return found === undefined ? undefined : this.#buffer.subarray(found.at, found.at + found.value);
  }

  varint(field: number): number | undefined {
    return this.#find(field, types.varint)?.value;
  }

  #find(field: number, type: number): { readonly at: number; readonly value: number } | undefined {
    const { length } = this.#buffer;
    for (let at = 0; at < length;) {
      const tag = this.#read(at);
      if (tag === undefined) return undefined;
      at = tag.at;
      const wire = tag.value % 8;
      if (wire === types.fixed64 || wire === types.fixed32) {
        at += wire === types.fixed64 ? 8 : 4;
        continue;
      }
      if (wire !== types.varint && wire !== types.bytes) return undefined;
      const value = this.#read(at);
      if (value === undefined) return undefined;
      at = value.at;
      if (wire === types.bytes && at + value.value > length) return undefined;
      if (Math.floor(tag.value / 8) === field && wire === type) return value;
      if (wire === types.bytes) at += value.value;
    }
    return undefined;
  }

  #read(start: number): { readonly at: number; readonly value: number } | undefined {
    let value = 0;
    for (let i = 0; i < 8; i += 1) {
      const byte = this.#buffer[start + i];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * 128 ** i;
      if (byte < 0x80) return { at: start + i + 1, value };
    }
    return undefined;
  }
}

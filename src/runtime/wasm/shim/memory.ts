// Reads and writes the memory of a guest, for the functions that the guest imports. All data that passes here (header
// fields, bodies, log lines) is bytes, one character each. The classes in this folder run where the guest runs, and get
// there as text: a class may use only what its constructor is given.

/** Exports of a guest, by name. */
export type GuestExports = Readonly<Record<string, unknown>>;

/** The part of `WebAssembly.Memory` that is used. */
export interface LinearMemory {
  readonly buffer: ArrayBuffer;
}

type Allocate = (size: number) => number;

export class Memory {
  #memory: LinearMemory | undefined = undefined;
  #allocate: Allocate | undefined = undefined;
  #bytes = new Uint8Array(0);
  #view = new DataView(new ArrayBuffer(0));
  readonly #names: (string | undefined)[] = [];
  readonly #places: number;

  constructor(places: number) {
    this.#places = places;
  }

  attach(exports: GuestExports): void {
    this.#memory = exports["memory"] as LinearMemory;
    // Older guests have only `malloc`.
    this.#allocate = (exports["proxy_on_memory_allocate"] ?? exports["malloc"]) as Allocate;
  }

  /** Whether `size` bytes from `pointer` on lie within the memory. */
  has(pointer: number, size: number): boolean {
    return (pointer >>> 0) + (size >>> 0) <= this.#current().length;
  }

  /** @returns undefined = the bytes do not lie within the memory */
  read(pointer: number, size: number): string | undefined {
    const from = pointer >>> 0;
    const length = size >>> 0;
    const bytes = this.#current();
    if (from + length > bytes.length) return undefined;
    let text = "";
    if (length <= 24) {
      for (let i = from; i < from + length; i += 1) text += String.fromCharCode(bytes[i] as number);
      return text;
    }
    // Few enough arguments for one call in any engine.
    for (let i = from; i < from + length; i += 8_192) {
      const part = bytes.subarray(i, Math.min(i + 8_192, from + length));
      text += String.fromCharCode.apply(null, part as unknown as number[]);
    }
    return text;
  }

  /** Reads the name of a field, in the form used for lookups. */
  readName(pointer: number, size: number): string | undefined {
    const from = pointer >>> 0;
    const length = size >>> 0;
    const bytes = this.#current();
    if (from + length > bytes.length) return undefined;
    const place = (from ^ (length << 4)) & (this.#places - 1);
    const known = this.#names[place];
    if (known !== undefined && known.length === length) {
      let i = 0;
      while (i < length && known.charCodeAt(i) === bytes[from + i]) i += 1;
      if (i === length) return known;
    }
    const name = this.read(pointer, size)?.toLowerCase().replaceAll("_", "-");
    // Guests look up the same constants again and again, so names are cached.
    if (name !== undefined && length <= 64) this.#names[place] = Object.keys({ [name]: 0 })[0];
    return name;
  }

  /** @returns false = the text does not fit within the memory */
  write(pointer: number, text: string): boolean {
    const from = pointer >>> 0;
    const bytes = this.#current();
    const { length } = text;
    if (from + length > bytes.length) return false;
    for (let i = 0; i < length; i += 1) bytes[from + i] = text.charCodeAt(i);
    return true;
  }

  readU32(pointer: number): number {
    this.#current();
    return this.#view.getUint32(pointer >>> 0, true);
  }

  writeU32(pointer: number, value: number): boolean {
    if (!this.has(pointer, 4)) return false;
    this.#view.setUint32(pointer >>> 0, value, true);
    return true;
  }

  writeU64(pointer: number, value: bigint): boolean {
    if (!this.has(pointer, 8)) return false;
    this.#view.setBigUint64(pointer >>> 0, value, true);
    return true;
  }

  /**
   * Passes a value to the guest, in memory that the guest allocates.
   * @returns the status: 0, or 6 = `INVALID_MEMORY_ACCESS`
   */
  give(value: string, toPointer: number, toSize: number): number {
    if (!this.has(toPointer, 4) || !this.has(toSize, 4)) return 6;
    let pointer = 0;
    if (value.length > 0) {
      pointer = this.#allocate?.(value.length) ?? 0;
      if (pointer === 0 || !this.write(pointer, value)) return 6;
    }
    return this.writeU32(toPointer, pointer) && this.writeU32(toSize, value.length) ? 0 : 6;
  }

  // When the memory grows, its old buffer becomes empty and new views are needed.
  #current(): Uint8Array {
    if (this.#bytes.length === 0 && this.#memory !== undefined) {
      this.#bytes = new Uint8Array(this.#memory.buffer);
      this.#view = new DataView(this.#memory.buffer);
    }
    return this.#bytes;
  }
}

// Encodes and decodes lists of fields as they are laid out in a guest's memory: the number of fields, the lengths of
// each name and value, then the names and values, each followed by a zero byte.

export class Pairs {
  /** @param flat name, value, … */
  encode(flat: readonly string[]): string {
    if (flat.length === 0) return "";
    let lengths = "";
    let texts = "";
    for (const text of flat) {
      lengths += this.#u32(text.length);
      texts += `${text}\0`;
    }
    return this.#u32(flat.length / 2) + lengths + texts;
  }

  /** @returns the length of what `encode` returns, without building it */
  size(flat: readonly string[]): number {
    return flat.length === 0 ? 0 : 4 + flat.reduce((sum, text) => sum + text.length + 5, 0);
  }

  /** @returns name, value, …; undefined = the bytes are malformed */
  decode(bytes: string): string[] | undefined {
    // No bytes, or one zero byte, also mean an empty list.
    if (bytes.length < 4) return bytes === "" || bytes === "\0" ? [] : undefined;
    const count = this.#readU32(bytes, 0);
    if (count > 1_024 || bytes.length > 1_048_576) return undefined;
    const flat: string[] = [];
    let at = 4 + count * 8;
    for (let i = 0; i < count * 2; i += 1) {
      if (4 + i * 4 + 4 > bytes.length) return undefined;
      const end = at + this.#readU32(bytes, 4 + i * 4);
      if (end >= bytes.length || bytes.charCodeAt(end) !== 0) return undefined;
      const text = bytes.slice(at, end);
      // A zero inside a text would shift everything after it.
      if (text.includes("\0")) return undefined;
      flat.push(text);
      at = end + 1;
    }
    return at === bytes.length ? flat : undefined;
  }

  #u32(value: number): string {
    return String.fromCharCode(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
  }

  #readU32(bytes: string, at: number): number {
    const byte = (offset: number): number => bytes.charCodeAt(at + offset);
    return (byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24)) >>> 0;
  }
}

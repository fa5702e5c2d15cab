// Builds sets of networks from the texts in policies and lists.
import { type Family, readAddress } from "./address.ts";
import { Ranges } from "./ranges.ts";

const prefixDigits = /^(?:0|[1-9]\d{0,2})$/;

/** @returns a mask of the host bits in one 32-bit word of an address, for a prefix length */
function hostBits(prefix: number, word: number): number {
  const kept = Math.max(0, Math.min(32, prefix - word * 32));
  return kept === 0 ? 0xffffffff : kept === 32 ? 0 : 0xffffffff >>> kept;
}

const mapped = [0, 0, 0xffff] as const;
const noWords = new Uint32Array(4);

/** Whether a network contains all IPv4-mapped addresses, as `::/0` does. */
function coversMapped(address: Uint32Array, prefix: number): boolean {
  if (prefix > 96) return false;
  return mapped.every((own, word) => (((address[word] as number) ^ own) & ~hostBits(prefix, word)) === 0);
}

class Side {
  readonly #words: number;
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  constructor(words: number) {
    this.#words = words;
  }

  add(address: Uint32Array, prefix: number): void {
    for (let word = 0; word < this.#words; word += 1) {
      const own = address[word] as number;
      const hosts = hostBits(prefix, word);
      this.#starts.push((own & ~hosts) >>> 0);
      this.#ends.push((own | hosts) >>> 0);
    }
  }

  ranges(): Ranges {
    return new Ranges(this.#words, new Uint32Array(this.#starts), new Uint32Array(this.#ends));
  }
}

export class NetworkSet {
  /** Number of entries, as they were written. */
  readonly size: number;
  readonly #ipv4: Ranges;
  readonly #ipv6: Ranges;

  constructor(size: number, ipv4: Ranges, ipv6: Ranges) {
    this.size = size;
    this.#ipv4 = ipv4;
    this.#ipv6 = ipv6;
  }

  /** @param words as `readAddress` filled them */
  has(family: Family, words: Uint32Array): boolean {
    if (family === 0) return false;
    return family === 4 ? this.#ipv4.has(words) : this.#ipv6.has(words);
  }
}

export class NetworkSetBuilder {
  readonly #ipv4 = new Side(1);
  readonly #ipv6 = new Side(4);
  readonly #words = new Uint32Array(4);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /**
   * Takes the same grammar as networks in policies (src/language/network.ts).
   * @returns false = not a network
   */
  add(text: string): boolean {
    const slash = text.indexOf("/");
    const address = slash === -1 ? text : text.slice(0, slash);
    const family = readAddress(address, this.#words);
    if (family === 0) return false;
    const written = family === 4 && !address.includes(":") ? 32 : 128;
    const digits = slash === -1 ? String(written) : text.slice(slash + 1);
    const prefix = prefixDigits.test(digits) ? Number(digits) : Infinity;
    if (prefix > written) return false;
    if (family === 6) {
      this.#ipv6.add(this.#words, prefix);
      if (coversMapped(this.#words, prefix)) this.#ipv4.add(noWords, 0);
    }
    // A network of IPv4-mapped addresses is the IPv4 network that it maps. With a prefix under 96 it is not a network.
    else if (written === 128 && prefix < 96) return false;
    else this.#ipv4.add(this.#words, written === 128 ? prefix - 96 : prefix);
    this.#size += 1;
    return true;
  }

  build(): NetworkSet {
    return new NetworkSet(this.#size, this.#ipv4.ranges(), this.#ipv6.ranges());
  }
}

/** @param texts networks that the schema has accepted */
export function networkSet(texts: readonly string[]): NetworkSet {
  const builder = new NetworkSetBuilder();
  for (const text of texts) builder.add(text);
  return builder.build();
}

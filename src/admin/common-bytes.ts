// What answers of many may take of memory together. Past it the longest one is given up: one that lies with all it may send
// costs itself, and not those who say little.

interface Holder {
  bytes: number;
  readonly giveUp: () => void;
}

export interface CommonShare {
  /** More of them. May give up this one or others, each once. */
  take(bytes: number): void;
  /** They are held no more. */
  release(): void;
}

export class CommonBytes {
  readonly #most: number;
  readonly #holders = new Set<Holder>();
  #total = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** @param giveUp lets go of what is held */
  hold(giveUp: () => void): CommonShare {
    const holder: Holder = { bytes: 0, giveUp };
    this.#holders.add(holder);
    return {
      take: (bytes) => {
        if (!this.#holders.has(holder)) return;
        holder.bytes += bytes;
        this.#total += bytes;
        while (this.#total > this.#most) this.#giveUpLongest();
      },
      release: () => this.#release(holder),
    };
  }

  #giveUpLongest(): void {
    let longest: Holder | undefined;
    for (const each of this.#holders) if (longest === undefined || each.bytes > longest.bytes) longest = each;
    if (longest === undefined) return;
    this.#release(longest);
    longest.giveUp();
  }

  #release(holder: Holder): void {
    if (this.#holders.delete(holder)) this.#total -= holder.bytes;
  }
}

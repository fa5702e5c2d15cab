// Bounds the memory of many answers together. Past the bound the longest one is given up: a peer that sends as much as
// it can harms only itself, not those with short answers.

interface Holder {
  bytes: number;
  readonly giveUp: () => void;
}

export interface CommonShare {
  /** Adds bytes. May give up this holder or others, each once. */
  take(bytes: number): void;
  /** The bytes are no longer held. */
  release(): void;
}

export class CommonBytes {
  readonly #most: number;
  readonly #holders = new Set<Holder>();
  #total = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** @param giveUp called to drop what is held */
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

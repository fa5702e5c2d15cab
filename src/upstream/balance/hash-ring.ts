// Spreads keys over members by consistent hashing: most keys keep their member when a member comes or goes.

interface Member {
  readonly name: string;
}

interface Point<M> {
  readonly at: number;
  readonly member: M;
}

/** Points per member: enough for shares that differ by about a tenth. */
const pointsEach = 128;

export class HashRing<M extends Member> {
  readonly #points: readonly Point<M>[];

  constructor(members: readonly M[]) {
    const points = members.flatMap((member) =>
      Array.from({ length: pointsEach }, (_, i) => ({ at: hash(`${member.name} ${i}`), member })),
    );
    this.#points = points.toSorted((a, b) => a.at - b.at);
  }

  /** @returns the first member in `among` from the key's place on; undefined = there is none */
  find(key: string, among: ReadonlySet<M>): M | undefined {
    const points = this.#points;
    const from = this.#firstFrom(hash(key));
    for (let i = 0; i < points.length; i += 1) {
      const { member } = points[(from + i) % points.length] as Point<M>;
      if (among.has(member)) return member;
    }
    return undefined;
  }

  #firstFrom(at: number): number {
    let low = 0;
    let high = this.#points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#points[middle] as Point<M>).at < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** FNV-1a with the finaliser of MurmurHash3. Without that, similar texts have close hashes. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

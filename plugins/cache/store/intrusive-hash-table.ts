// A hash table whose members hold the links themselves. A `Map` that gains and loses a key with every request is made
// anew again and again, and its dead tables keep alive what they held until a full collection (V8 14); this one is not.
import { randomBytes } from "node:crypto";

/** What can stand in a table; both fields are the table's. */
export interface HashTableMember<Member> {
  /** Of `hashText`. */
  readonly hash: number;
  next: Member | undefined;
}

export class IntrusiveHashTable<Member extends HashTableMember<Member>> {
  #heads: (Member | undefined)[] = emptyHeads(64);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The first of those that may have this hash, the latest added before older ones; the others follow by `next`. */
  first(hash: number): Member | undefined {
    return this.#heads[hash & (this.#heads.length - 1)];
  }

  add(member: Member): void {
    if (this.#size === this.#heads.length) this.#grow();
    this.#size += 1;
    this.#link(member);
  }

  /** @param member one that is in the table */
  remove(member: Member): void {
    const place = member.hash & (this.#heads.length - 1);
    let before = this.#heads[place];
    if (before === member) this.#heads[place] = member.next;
    else {
      while (before !== undefined && before.next !== member) before = before.next;
      if (before === undefined) return;
      before.next = member.next;
    }
    // What is dead must not keep its neighbours.
    member.next = undefined;
    this.#size -= 1;
  }

  #link(member: Member): void {
    const place = member.hash & (this.#heads.length - 1);
    member.next = this.#heads[place];
    this.#heads[place] = member;
  }

  #grow(): void {
    const old = this.#heads;
    this.#heads = emptyHeads(old.length * 2);
    for (const head of old) {
      const chain: Member[] = [];
      for (let member = head; member !== undefined; member = member.next) chain.push(member);
      // Oldest first, so that the latest stays in front.
      for (const member of chain.reverse()) this.#link(member);
    }
  }
}

function emptyHeads<Member>(length: number): (Member | undefined)[] {
  return Array.from({ length }, () => undefined);
}

// Clients choose the texts: without a secret they could choose thousands that fall on one place.
const seed = randomBytes(4).readInt32LE();

/** A 32-bit hash. @param from the hash of a text before this one, for the hash of both */
export function hashText(text: string, from = seed): number {
  let hash = from;
  for (let i = 0; i < text.length; i += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x9e3779b1);
    // The high bits come back into play, or the low ones would depend on low ones alone.
    hash ^= hash >>> 15;
  }
  return hash;
}

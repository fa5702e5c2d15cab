// Implements a hash table whose members hold the links themselves. V8 14 rebuilds a `Map` again and again when each
// request adds and removes a key, and the old tables keep their members alive until a full collection. This table is
// only rebuilt to grow.
import { randomBytes } from "node:crypto";

/** A member of a table, with the two fields that the table uses. */
export interface HashTableMember<Member> {
  /** From `hashText`. */
  readonly hash: number;
  next: Member | undefined;
}

export class IntrusiveHashTable<Member extends HashTableMember<Member>> {
  #heads: (Member | undefined)[] = emptyHeads(64);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @returns the first member that may have this hash, newest first; `next` leads to the others */
  first(hash: number): Member | undefined {
    return this.#heads[hash & (this.#heads.length - 1)];
  }

  add(member: Member): void {
    if (this.#size === this.#heads.length) this.#grow();
    this.#size += 1;
    this.#link(member);
  }

  /** @param member a member of the table */
  remove(member: Member): void {
    const place = member.hash & (this.#heads.length - 1);
    let before = this.#heads[place];
    if (before === member) this.#heads[place] = member.next;
    else {
      while (before !== undefined && before.next !== member) before = before.next;
      if (before === undefined) return;
      before.next = member.next;
    }
    // A removed member must not keep its neighbours alive.
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

// Clients choose the texts: without a secret seed they could choose thousands that share one chain.
const seed = randomBytes(4).readInt32LE();

/** @param from hash of a preceding text, to hash both together. @returns a 32-bit hash, seeded per process */
export function hashText(text: string, from = seed): number {
  let hash = from;
  for (let i = 0; i < text.length; i += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x9e3779b1);
    // Mixes high bits into the low ones, which would otherwise depend on low bits alone.
    hash ^= hash >>> 15;
  }
  return hash;
}

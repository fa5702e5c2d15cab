// One sidecar's chain: numbers its records, links each to the hash of the previous one, and signs the heads.
import type { AuditKey } from "./key.ts";
import { type AuditEvent, hashOf, lineOf, noHash, type Place, signedLine } from "./record.ts";
import { seal, type SubjectKey } from "./subject-keys.ts";

export interface Tail {
  readonly chain: string;
  /** Number of the last record; 0 = there is none. */
  readonly seq: number;
  readonly hash: string;
}

export class Chain {
  readonly name: string;
  readonly #key: AuditKey;
  #seq: number;
  #hash: string;

  constructor(key: AuditKey, { chain, seq, hash }: Tail) {
    this.name = chain;
    this.#key = key;
    this.#seq = seq;
    this.#hash = hash;
  }

  static begin(key: AuditKey, name: string): Chain {
    return new Chain(key, { chain: name, seq: 0, hash: noHash });
  }

  get tail(): Tail {
    return { chain: this.name, seq: this.#seq, hash: this.#hash };
  }

  /**
   * @param subject whose key seals the personal fields of an access decision
   * @returns the record's line, without its line end
   */
  append(event: AuditEvent, subject?: SubjectKey): string {
    const place: Place = { chain: this.name, seq: this.#seq + 1, prev: this.#hash };
    const sealed = event.kind === "access" && subject ? seal(subject, event.person) : undefined;
    const plain = lineOf(place, event, sealed);
    const line =
      event.kind === "head" ? signedLine(plain, this.#key.kid, (text) => this.#key.sign(text)) : plain;
    this.#seq = place.seq;
    this.#hash = hashOf(line);
    return line;
  }
}

// What a guest did in one call, for the host to carry out: one text, records one behind the other. A record is a letter
// and its parts, each with its length before it: `s1:05:x-geo2:DE`.

/** How much one call may say. */
export interface EffectBounds {
  /** Bytes of log lines. */
  readonly logBytes: number;
  /** Bytes of everything else but bodies. */
  readonly bytes: number;
}

export class Effects {
  readonly #bounds: EffectBounds;
  #text = "";
  #logged = 0;
  #lostLines = 0;
  #context = 0;

  constructor(bounds: EffectBounds) {
    this.#bounds = bounds;
  }

  /** A call begins. */
  begin(context: number): void {
    this.#text = "";
    this.#logged = 0;
    this.#lostLines = 0;
    this.#context = context;
  }

  /** What there is to carry out, and nothing is left of it. */
  take(): string {
    if (this.#lostLines > 0) this.#add("L", [String(this.#lostLines)]);
    const text = this.#text;
    this.#text = "";
    return text;
  }

  /** Whether so much more may be said. */
  hasRoom(bytes: number): boolean {
    return this.#text.length + bytes <= this.#bounds.bytes;
  }

  /** What follows is about that context. */
  of(context: number): this {
    if (context !== this.#context) {
      this.#context = context;
      this.#add("c", [String(context)]);
    }
    return this;
  }

  log(level: number, message: string): void {
    this.#logged += message.length + 1;
    if (this.#logged > this.#bounds.logBytes) this.#lostLines += 1;
    else this.#add("l", [String(level), message]);
  }

  add(kind: string, ...parts: readonly string[]): void {
    this.#add(kind, parts);
  }

  #add(kind: string, parts: readonly string[]): void {
    let record = kind;
    for (const part of parts) record += `${part.length}:${part}`;
    this.#text += record;
  }
}

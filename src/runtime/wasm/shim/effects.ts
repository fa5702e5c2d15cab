// What a guest did in one call, for the host to carry out: one text, records one behind the other. A record is a letter
// and its parts, each with its length before it: `s1:05:x-geo2:DE`.

/** How much one call may say. */
export interface EffectBounds {
  /** Bytes of log lines. */
  readonly logBytes: number;
  /** Bytes of everything else but bodies. */
  readonly bytes: number;
  /** With bodies. */
  readonly bodyBytes: number;
}

export class Effects {
  readonly #bounds: EffectBounds;
  #text = "";
  /** Of it, without logs and bodies. */
  #bytes = 0;
  #logged = 0;
  #lostLines = 0;
  /** What may not be said any more. */
  #isFull = false;
  #context = 0;

  constructor(bounds: EffectBounds) {
    this.#bounds = bounds;
  }

  /** A call begins. */
  begin(context: number): void {
    this.#text = "";
    this.#bytes = 0;
    this.#logged = 0;
    this.#lostLines = 0;
    this.#isFull = false;
    this.#context = context;
  }

  /** What there is to carry out, and nothing is left of it. */
  take(): string {
    let text = this.#text;
    if (this.#lostLines > 0) text += this.#record("L", [String(this.#lostLines)]);
    // Half of what it did would be worse than nothing.
    if (this.#isFull) text += "F";
    this.#text = "";
    return text;
  }

  /** Whether so much more may be said; what is said beyond that makes the call one that failed. */
  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= this.#bounds.bytes;
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
    const record = this.#record(kind, parts);
    const isBody = kind === "b" || kind === "r" || kind === "h";
    if (this.#text.length + record.length > this.#bounds.bodyBytes) this.#isFull = true;
    else if (!isBody && !this.hasRoom(record.length)) this.#isFull = true;
    else {
      this.#text += record;
      if (!isBody && kind !== "l") this.#bytes += record.length;
    }
  }

  #record(kind: string, parts: readonly string[]): string {
    let record = kind;
    for (const part of parts) record += `${part.length}:${part}`;
    return record;
  }
}

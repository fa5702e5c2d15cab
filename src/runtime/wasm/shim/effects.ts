// Collects what a guest did in one call, as one text of records that the host carries out. A record is a letter and its
// parts, each with its length in front: `s1:05:x-geo2:DE`.

/** How much one call may emit. */
export interface EffectBounds {
  /** Limit in bytes of log lines. */
  readonly logBytes: number;
  /** Limit in bytes of everything except log lines and bodies. */
  readonly bytes: number;
  /** Limit in bytes of the whole text, bodies included. */
  readonly bodyBytes: number;
}

export class Effects {
  readonly #bounds: EffectBounds;
  #text = "";
  /** Bytes of the text without logs and bodies. */
  #bytes = 0;
  #logged = 0;
  #lostLines = 0;
  /** Whether an effect exceeded the limits, so that the call fails. */
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

  /** @returns the effects of the call, and clears them */
  take(): string {
    let text = this.#text;
    if (this.#lostLines > 0) text += this.#record("L", [String(this.#lostLines)]);
    // Carrying out only some of the effects would be worse than none, so the host fails the call.
    if (this.#isFull) text += "F";
    this.#text = "";
    return text;
  }

  /** Whether so many more bytes fit; an effect beyond the limit makes the whole call fail. */
  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= this.#bounds.bytes;
  }

  /** The effects that follow are about this context. */
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

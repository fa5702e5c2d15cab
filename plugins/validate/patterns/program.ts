// Runs a pattern as a small program that follows all ways through it at once, character by character (Thompson's
// construction). The time is at most the text's length times the program's length.
import { BadPattern, type Syntax } from "./syntax.ts";

type Instruction =
  | { readonly op: "character"; readonly test: (codePoint: number) => boolean }
  | { readonly op: "fork"; first: number; second: number }
  | { readonly op: "assert"; readonly which: "^" | "$" | "b" | "B" }
  | { readonly op: "match" };

const maxInstructions = 2_000;

/** What is left of the budget of the validation in progress; only one runs at a time. */
export const work = { left: 0 };

export class Program {
  readonly #code: Instruction[] = [];

  /** @throws BadPattern when repetitions make it too long */
  constructor(syntax: Syntax) {
    this.#emit(syntax);
    this.#code.push({ op: "match" });
  }

  /** Whether some part of the text matches. Also false once `work.left` is used up. */
  test(text: string): boolean {
    let now = new Threads(this.#code.length);
    let next = new Threads(this.#code.length);
    for (let at = 0; ;) {
      // A match may begin anywhere.
      if (this.#follow(now, 0, text, at)) return true;
      if (at >= text.length) return false;
      work.left -= now.size + 1;
      if (work.left < 0) return false;
      const codePoint = text.codePointAt(at) as number;
      at += codePoint > 0xffff ? 2 : 1;
      for (let i = 0; i < now.size; i += 1) {
        const instruction = this.#code[now.at(i)] as Instruction;
        if (instruction.op !== "character" || !instruction.test(codePoint)) continue;
        if (this.#follow(next, now.at(i) + 1, text, at)) return true;
      }
      now.clear();
      [now, next] = [next, now];
    }
  }

  /**
   * Adds the places reached from `from` without consuming a character. @returns whether the pattern's end is among them
   */
  #follow(threads: Threads, from: number, text: string, at: number): boolean {
    const open = [from];
    for (let place = open.pop(); place !== undefined; place = open.pop()) {
      if (!threads.add(place)) continue;
      const instruction = this.#code[place] as Instruction;
      if (instruction.op === "match") return true;
      if (instruction.op === "fork") open.push(instruction.second, instruction.first);
      else if (instruction.op === "assert" && holds(instruction.which, text, at)) open.push(place + 1);
    }
    return false;
  }

  #emit(syntax: Syntax): void {
    if (this.#code.length > maxInstructions)
      throw new BadPattern("a pattern's repetitions make it too long to be tried");
    switch (syntax.kind) {
      case "character":
        this.#code.push({ op: "character", test: characterTest(syntax.source) });
        return;
      case "assertion":
        this.#code.push({ op: "assert", which: syntax.which });
        return;
      case "sequence":
        for (const item of syntax.items) this.#emit(item);
        return;
      case "choice":
        this.#emitChoice(syntax.items);
        return;
      case "repeat":
        this.#emitRepeat(syntax.item, syntax.min, syntax.max);
    }
  }

  #fork(): { op: "fork"; first: number; second: number } {
    const here = this.#code.length;
    const fork = { op: "fork" as const, first: here + 1, second: here + 1 };
    this.#code.push(fork);
    return fork;
  }

  #emitChoice(items: readonly Syntax[]): void {
    const ends: { first: number; second: number }[] = [];
    for (const [index, item] of items.entries()) {
      const isLast = index === items.length - 1;
      const fork = isLast ? undefined : this.#fork();
      this.#emit(item);
      if (fork === undefined) break;
      ends.push(this.#fork());
      fork.second = this.#code.length;
    }
    for (const end of ends) end.first = end.second = this.#code.length;
  }

  #emitRepeat(item: Syntax, min: number, max: number): void {
    for (let i = 0; i < min; i += 1) this.#emit(item);
    if (max === Infinity) {
      const start = this.#code.length;
      const fork = this.#fork();
      this.#emit(item);
      const back = this.#fork();
      back.first = back.second = start;
      fork.second = this.#code.length;
      return;
    }
    const forks = [];
    for (let i = min; i < max; i += 1) {
      forks.push(this.#fork());
      this.#emit(item);
    }
    for (const fork of forks) fork.second = this.#code.length;
  }
}

/** A set of places in a program, in the order in which they were added. */
class Threads {
  readonly #places: Int32Array;
  readonly #marks: Uint8Array;
  size = 0;

  constructor(most: number) {
    this.#places = new Int32Array(most);
    this.#marks = new Uint8Array(most);
  }

  /** @returns whether the place was new */
  add(place: number): boolean {
    if (this.#marks[place] === 1) return false;
    this.#marks[place] = 1;
    this.#places[this.size] = place;
    this.size += 1;
    return true;
  }

  at(index: number): number {
    return this.#places[index] as number;
  }

  clear(): void {
    for (let i = 0; i < this.size; i += 1) this.#marks[this.#places[i] as number] = 0;
    this.size = 0;
  }
}

function characterTest(source: string): (codePoint: number) => boolean {
  const one = new RegExp(`^(?:${source})$`, "u");
  const ascii = Uint8Array.from({ length: 128 }, (_, code) => Number(one.test(String.fromCharCode(code))));
  return (codePoint) =>
    codePoint < 128 ? ascii[codePoint] === 1 : one.test(String.fromCodePoint(codePoint));
}

const isWord = (text: string, at: number): boolean => /^\w$/.test(text[at] ?? "");

function holds(which: "^" | "$" | "b" | "B", text: string, at: number): boolean {
  if (which === "^") return at === 0;
  if (which === "$") return at === text.length;
  return (isWord(text, at - 1) !== isWord(text, at)) === (which === "b");
}

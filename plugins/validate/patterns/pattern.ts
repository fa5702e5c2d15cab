// Compiles a schema's pattern. V8's matcher backtracks, so it runs only on texts too short to take long. Longer texts
// go to the slower but linear program.
import { parsePattern, type Syntax } from "./syntax.ts";
import { Program, work } from "./program.ts";

/** Steps of V8's matcher that take no noticeable time. */
const backtracks = 100_000;

interface Shape {
  /** Repetitions without a bound, or with a wide one. */
  readonly loops: number;
  /** The power of two that bounds the ways through everything else. */
  readonly choices: number;
  /** Whether something that can match in several ways is itself repeated. */
  readonly nested: boolean;
}

function shapeOf(syntax: Syntax): Shape {
  if (syntax.kind === "character" || syntax.kind === "assertion")
    return { loops: 0, choices: 0, nested: false };
  if (syntax.kind === "repeat") {
    const { loops, choices, nested } = shapeOf(syntax.item);
    const spread = syntax.max - syntax.min;
    const varies = loops + choices > 0;
    return {
      loops: loops + Number(spread > 8),
      choices: choices + (spread > 8 ? 0 : Math.ceil(Math.log2(spread + 1))),
      nested: nested || (varies && syntax.max > 1),
    };
  }
  const shapes = syntax.items.map(shapeOf);
  const sum = (of: (shape: Shape) => number): number => shapes.reduce((total, shape) => total + of(shape), 0);
  const ways = syntax.kind === "choice" ? Math.ceil(Math.log2(shapes.length)) : 0;
  return {
    loops: sum(({ loops }) => loops),
    choices: sum(({ choices }) => choices) + ways,
    nested: shapes.some(({ nested }) => nested),
  };
}

const isAnchored = (syntax: Syntax): boolean =>
  syntax.kind === "sequence" && syntax.items[0]?.kind === "assertion" && syntax.items[0].which === "^";

/** @returns the length of text up to which V8 takes at most `backtracks` steps */
function nativeLength(syntax: Syntax): number {
  const { loops, choices, nested } = shapeOf(syntax);
  if (nested || choices > 12) return 0;
  const power = loops + (isAnchored(syntax) ? 0 : 1);
  return power === 0 ? Infinity : Math.floor((backtracks / 2 ** choices) ** (1 / power));
}

export interface Pattern {
  /** Whether some part of the text matches. */
  test(text: string): boolean;
  /** ajv uses this text as the pattern's identity. */
  toString(): string;
}

/** @throws BadPattern */
export function compilePattern(pattern: string): Pattern {
  const syntax = parsePattern(pattern);
  const native = new RegExp(pattern, "u");
  const longest = nativeLength(syntax);
  const program = new Program(syntax);
  return {
    test(text) {
      if (text.length > longest) return program.test(text);
      work.left -= 1;
      return work.left >= 0 && native.test(text);
    },
    toString: () => String(native),
  };
}

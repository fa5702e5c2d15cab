// Parses untrusted JSON (RFC 8259) whose values are kept unchanged. Code that walks nested values recurses, including
// JSON.stringify, and a text full of brackets would exhaust the stack. So depth is bounded here, where the text comes
// in (RFC 8259 section 9 allows it).

/** Most levels of arrays and objects that are accepted, in policies, tokens, key sets and records. */
export const deepestNesting = 32;

const quote = 0x22;
const backslash = 0x5c;

/**
 * @throws SyntaxError when the text is not JSON, or nested deeper than `deepestNesting`. Its message quotes nothing of
 * the text
 */
export function parseJson(text: string): unknown {
  if (isNestedDeeper(text)) throw new SyntaxError(`nested deeper than ${deepestNesting} levels`);
  try {
    // V8's parser does not recurse: it keeps its own stack.
    return JSON.parse(text);
  } catch {
    throw new SyntaxError("not JSON");
  }
}

/**
 * Whether the text has more than `most` opening brackets, including those in strings. Most texts do not, so this cheap
 * test saves the exact one.
 */
function opensMoreThan(most: number, text: string): boolean {
  let count = 0;
  for (const bracket of ["{", "["]) {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) {
      count += 1;
      if (count > most) return true;
    }
  }
  return false;
}

/** Counts nesting outside strings. For a text that is not JSON the answer does not matter. */
function isNestedDeeper(text: string): boolean {
  if (!opensMoreThan(deepestNesting, text)) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === quote) at = endOfString(text, at);
    // "[" and "{", "]" and "}" differ in one bit.
    else if ((unit | 0x20) === 0x7b) {
      depth += 1;
      if (depth > deepestNesting) return true;
    } else if ((unit | 0x20) === 0x7d) depth -= 1;
  }
  return false;
}

/**
 * @returns position of the closing quote of the string that begins at `opening`; the text's length when there is none
 */
export function endOfString(text: string, opening: number): number {
  for (let at = text.indexOf('"', opening + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let before = at - 1;
    while (text.charCodeAt(before) === backslash) before -= 1;
    // An even number of backslashes escape each other, not the quote.
    if ((at - before) % 2 === 1) return at;
  }
  return text.length;
}

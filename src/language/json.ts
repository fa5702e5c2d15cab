// JSON of others (RFC 8259) whose values are kept as they are. What walks nested values recurses, JSON.stringify too, and
// a text of brackets would exhaust the stack: depth is bounded here, where it comes in (RFC 8259 section 9 allows it).

/** Levels of arrays and objects that are taken: of policies, tokens, key sets, records. */
export const deepestNesting = 32;

const quote = 0x22;
const backslash = 0x5c;

/** @throws SyntaxError that quotes nothing of the text when it is not JSON, or nested deeper than `deepestNesting` */
export function parseJson(text: string): unknown {
  if (isNestedDeeper(text)) throw new SyntaxError(`nested deeper than ${deepestNesting} levels`);
  try {
    // V8's parser keeps its own stack: it does not recurse.
    return JSON.parse(text);
  } catch {
    throw new SyntaxError("not JSON");
  }
}

/** Whether it has more than so many opening brackets, those within strings counted: most texts have not. */
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

/** Counts brackets outside strings; for a text that is not JSON, any answer. */
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

/** @returns where the string that begins at `opening` has its closing quote; the text's end when it has none */
export function endOfString(text: string, opening: number): number {
  for (let at = text.indexOf('"', opening + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let before = at - 1;
    while (text.charCodeAt(before) === backslash) before -= 1;
    // An even number of backslashes escape each other and not the quote.
    if ((at - before) % 2 === 1) return at;
  }
  return text.length;
}

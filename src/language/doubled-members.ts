// Whether JSON names a member twice. Parsers differ in which of the two they take (RFC 8259 section 4), so that a text is
// one thing to whoever checks it and another to whoever uses it.

const backslash = 0x5c;
const colon = 0x3a;

/** Members named in valid JSON text, at every depth: each is one colon outside a string. */
function membersNamed(json: string): number {
  let colons = 0;
  for (let at = 0; ;) {
    const opening = json.indexOf('"', at);
    const end = opening === -1 ? json.length : opening;
    for (; at < end; at += 1) if (json.charCodeAt(at) === colon) colons += 1;
    if (opening === -1) return colons;
    at = endOfString(json, opening);
  }
}

/** @returns where the text goes on after the string that begins at `opening` */
function endOfString(json: string, opening: number): number {
  for (let closing = json.indexOf('"', opening + 1); ; closing = json.indexOf('"', closing + 1)) {
    let before = closing - 1;
    while (json.charCodeAt(before) === backslash) before -= 1;
    // An even number of backslashes escape each other and not the quote.
    if ((closing - before) % 2 === 1) return closing + 1;
  }
}

/** Recurses: depth was bounded when the value was read. */
function membersKept(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += membersKept(item);
    return count;
  }
  for (const item of Object.values(value)) count += 1 + membersKept(item);
  return count;
}

/** @param value what `json` was parsed to, whose depth was bounded then */
export function hasDoubledMember(json: string, value: unknown): boolean {
  return membersNamed(json) !== membersKept(value);
}

// Identity values as header fields. An identity comes from outside (a token's claim), so it may hold anything: line
// ends that would add fields, bytes that services read differently. All but printable ASCII is percent-encoded as
// UTF-8, and so is `%` itself: two different users never look alike to the service, and none is dropped.

/** Printable ASCII without `%`, and no space at either end, which a receiver would strip. */
const asItIs = /^[\x21-\x24\x26-\x7e](?:[\x20-\x24\x26-\x7e]*[\x21-\x24\x26-\x7e])?$/;
const wordAsItIs = /^[\x21-\x24\x26-\x7e]+$/;

const encoded = /[^\x20-\x24\x26-\x7e]|^ | $/gu;
const wordEncoded = /[^\x21-\x24\x26-\x7e]/gu;

/** @returns the value as it may stand in a field; the same for no two different values */
export function encodeValue(value: string): string {
  return asItIs.test(value) ? value : value.replace(encoded, percent);
}

/** Like `encodeValue`, for one member of a list that spaces separate. */
export function encodeWord(value: string): string {
  return wordAsItIs.test(value) ? value : value.replace(wordEncoded, percent);
}

function percent(character: string): string {
  const point = character.codePointAt(0) as number;
  // A surrogate without its pair has no UTF-8 form; its three bytes by the scheme keep it apart from all others.
  const bytes =
    point >= 0xd800 && point <= 0xdfff
      ? [0xed, 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f)]
      : Buffer.from(character);
  let text = "";
  for (const byte of bytes) text += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return text;
}

// Encodes identity values for header fields. An identity comes from outside (a token's claim) and may contain anything:
// line ends that would add fields, bytes that services read differently. Everything but printable ASCII is
// percent-encoded as UTF-8, and so is `%` itself: two different users never look the same to the service, and no value
// is dropped.

/** Printable ASCII without `%`, and no space at either end, which a receiver would strip. */
const asItIs = /^[\x21-\x24\x26-\x7e](?:[\x20-\x24\x26-\x7e]*[\x21-\x24\x26-\x7e])?$/;
const wordAsItIs = /^[\x21-\x24\x26-\x7e]+$/;

const encoded = /[^\x20-\x24\x26-\x7e]|^ | $/gu;
const wordEncoded = /[^\x21-\x24\x26-\x7e]/gu;

/** @returns the value in a form that a field can hold; different values give different results */
export function encodeValue(value: string): string {
  return asItIs.test(value) ? value : value.replace(encoded, percent);
}

/** Like `encodeValue`, for one member of a list separated by spaces. */
export function encodeWord(value: string): string {
  return wordAsItIs.test(value) ? value : value.replace(wordEncoded, percent);
}

function percent(character: string): string {
  const point = character.codePointAt(0) as number;
  // A lone surrogate has no UTF-8 form. The three bytes that the scheme would give keep it apart from all other values.
  const bytes =
    point >= 0xd800 && point <= 0xdfff
      ? [0xed, 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f)]
      : Buffer.from(character);
  let text = "";
  for (const byte of bytes) text += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return text;
}

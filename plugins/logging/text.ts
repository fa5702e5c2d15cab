// Text of the access log: JSON strings that stay on one line whatever the client sent, and ISO time stamps.

/** Longest client-sent text in a line, in UTF-16 units; the rest is cut off and an ellipsis says so. */
const maxChars = 2048;

/** All that a JSON string can hold as it is; nearly every real value matches. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** Left alone by JSON.stringify, yet a line end or a control for terminals and some readers (DEL, C1, LS, PS). */
// oxlint-disable-next-line no-control-regex -- these are exactly the characters to escape
const unsafe = /[\u007f-\u009f\u2028\u2029]/g;

const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** @returns `text` as a JSON string with its quotes: always valid, always one line, bounded in length */
export function jsonText(text: string): string {
  const cut = text.length > maxChars ? `${text.slice(0, maxChars)}…` : text;
  return plain.test(cut) ? `"${cut}"` : JSON.stringify(cut).replace(unsafe, escapeUnit);
}

/** ISO 8601 in UTC with milliseconds. `Date.toISOString` costs 1.4 µs, so the part down to the second is kept. */
export function createIsoTime(): (epochMs: number) => string {
  let knownSecond = Number.NaN;
  let upToSecond = "";
  return (epochMs) => {
    const second = Math.floor(epochMs / 1000);
    if (second !== knownSecond) {
      knownSecond = second;
      upToSecond = new Date(second * 1000).toISOString().slice(0, -4);
    }
    const ms = Math.floor(epochMs - second * 1000);
    return `${upToSecond}${ms < 10 ? "00" : ms < 100 ? "0" : ""}${ms}Z`;
  };
}

/** Up to three decimals: enough for milliseconds, short in the line. */
export function decimals(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

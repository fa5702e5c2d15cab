// Encodes text for the access log: JSON strings that stay on one line whatever the client sent, CLF items, time stamps.

/** Longest client-sent text in a line, in UTF-16 units; longer text is cut and ends in an ellipsis. */
const maxChars = 2048;

/** Characters that a JSON string holds unescaped; nearly every real value consists of them. */
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

/** ISO 8601 in UTC with milliseconds. `Date.toISOString` costs 1.4 µs, so the text up to the second is cached. */
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

// ".001" … ".999": converting a fraction to text is the slow part, so all 1000 are prepared.
const fractions = Array.from({ length: 1000 }, (_, thousandths) => String(thousandths / 1000).slice(1));

/** A number with up to three decimals: enough for milliseconds, short in the line. */
export function decimals(ms: number): string {
  const thousandths = Math.round(ms * 1000);
  if (!(thousandths >= 0 && thousandths < 2 ** 31)) return String(thousandths / 1000);
  const whole = Math.floor(thousandths / 1000);
  return whole + (fractions[thousandths - whole * 1000] as string);
}

/** @returns the same text, flattened: V8 keeps a concatenation as a tree of its parts until something reads it */
export function inOnePiece(text: string): string {
  plain.test(text);
  return text;
}

/** Caches the last value and its text: hosts, clients and agents repeat from request to request. */
export function keepLast(textOf: (value: string) => string): (value: string) => string {
  let last: string | undefined;
  let text = "";
  return (value) => {
    if (value !== last) {
      text = inOnePiece(textOf(value));
      last = value;
    }
    return text;
  };
}

/** Characters that an item of the Common Log Format holds unescaped. */
const plainItem = /^[\x21\x23-\x5b\x5d-\x7e]*$/;
const plainQuotedItem = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** @returns an item of a line: quotes, backslashes, controls and non-ASCII bytes as `\xHH`, bounded in length */
export function clfText(value: string, withoutSpaces: boolean): string {
  const isPlain = withoutSpaces ? plainItem : plainQuotedItem;
  if (value.length <= maxChars && isPlain.test(value)) return value;
  const cut = value.length > maxChars ? `${value.slice(0, maxChars)}...` : value;
  let item = "";
  for (const byte of Buffer.from(cut)) {
    const unit = String.fromCharCode(byte);
    item += isPlain.test(unit) ? unit : `\\x${byte.toString(16).padStart(2, "0").toUpperCase()}`;
  }
  return item;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number: number): string => String(number).padStart(2, "0");

/** `10/Oct/2000:13:55:36 +0000`, always UTC. */
export function createClfTime(): (epochMs: number) => string {
  let knownSecond = Number.NaN;
  let text = "";
  return (epochMs) => {
    const second = Math.floor(epochMs / 1000);
    if (second !== knownSecond) {
      knownSecond = second;
      const date = new Date(second * 1000);
      const clock = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two).join(":");
      text = `${two(date.getUTCDate())}/${months[date.getUTCMonth()]}/${date.getUTCFullYear()}:${clock} +0000`;
    }
    return text;
  };
}

/** Splits an authority into host and port. */
export function partsOfHost(authority: string): { host: string; port: number | undefined } {
  const [, host = authority, port] = /^(.*):(\d{1,5})$/.exec(authority) ?? [];
  return { host, port: port === undefined ? undefined : Number(port) };
}

/**
 * Names a format's members: as listed in `told`, others in the style of `outrigger.upstream_ms` for `upstreamMs`.
 * Cached.
 * @param member one of the few names that lines have
 */
export function createNames(told: Readonly<Record<string, string>>): (member: string) => string {
  const names = new Map(Object.entries(told));
  return (member) => {
    let name = names.get(member);
    if (name === undefined) {
      name = `outrigger.${member.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
      names.set(member, name);
    }
    return name;
  };
}

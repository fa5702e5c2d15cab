// Parses HTTP dates (RFC 9110 section 5.6.7): the three forms that a recipient must accept, and nothing else.
// `Date.parse` also accepts "UTC", two-digit years and missing commas, so responses with invalid dates would be fresh.

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
// Case is ignored: it never tells two dates apart.
const imfFixdate = /^[a-z]{3}, (\d\d) ([a-z]{3}) (\d{4}) (\d\d):(\d\d):(\d\d) gmt$/i;
const rfc850 = /^[a-z]{6,9}, (\d\d)-([a-z]{3})-(\d\d) (\d\d):(\d\d):(\d\d) gmt$/i;
const asctime = /^[a-z]{3} ([a-z]{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/i;

// All responses of one second carry the same Date.
let lastText = "";
let lastMs: number | undefined;

/**
 * @param nowMs decides the century of an RFC 850 date: more than 50 years ahead means the past
 * @returns epoch milliseconds; undefined if the text is not an HTTP date
 */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  if (text === lastText) return lastMs;
  const value = text.trim();
  const parsed = parse(value, nowMs);
  // Only this form is remembered: the century of an RFC 850 date depends on `nowMs`.
  if (imfFixdate.test(value)) [lastText, lastMs] = [text, parsed];
  return parsed;
}

function parse(value: string, nowMs: number): number | undefined {
  let match = imfFixdate.exec(value);
  if (match !== null) return utc(match[3], match[2], match[1], match[4], match[5], match[6]);
  match = asctime.exec(value);
  if (match !== null) return utc(match[6], match[1], match[2], match[3], match[4], match[5]);
  match = rfc850.exec(value);
  if (match === null) return undefined;
  const thisYear = new Date(nowMs).getUTCFullYear();
  let year = Math.floor(thisYear / 100) * 100 + Number(match[3]);
  if (year > thisYear + 50) year -= 100;
  return utc(String(year), match[2], match[1], match[4], match[5], match[6]);
}

/** @returns the date as IMF-fixdate, the only form that a sender may generate */
export function formatHttpDate(epochMs: number): string {
  return new Date(epochMs).toUTCString();
}

function utc(
  year?: string,
  month?: string,
  day?: string,
  hour?: string,
  minute?: string,
  second?: string,
): number | undefined {
  const monthIndex = months.indexOf((month ?? "").toLowerCase());
  const [d, h, m, s] = [Number(day), Number(hour), Number(minute), Number(second)];
  // 60 is a leap second.
  if (monthIndex === -1 || d < 1 || d > 31 || h > 23 || m > 59 || s > 60) return undefined;
  const epochMs = Date.UTC(Number(year), monthIndex, d, h, m, s);
  return new Date(epochMs).getUTCMonth() === monthIndex || d <= 28 ? epochMs : undefined;
}

// The formats that are checked (JSON Schema 2020-12 validation, section 7.3; OpenAPI's registry), each in linear time.
// All other formats are only annotations and are not checked.
import { isIPv4, isIPv6 } from "node:net";

type TextFormat = (text: string) => boolean;

/** RFC 3339 section 5.6 */
function isDate(text: string): boolean {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text) ?? [];
  if (day === undefined) return false;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  return date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day);
}

const isWithin = (digits: string | undefined, most: number): boolean => Number(digits) <= most;

function isTime(text: string): boolean {
  const [, hour, minute, second, zoneHour = "0", zoneMinute = "0"] =
    /^(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[zZ]|[+-](\d\d):(\d\d))$/.exec(text) ?? [];
  if (second === undefined) return false;
  return (
    isWithin(hour, 23) &&
    isWithin(minute, 59) &&
    isWithin(second, 60) &&
    isWithin(zoneHour, 23) &&
    isWithin(zoneMinute, 59)
  );
}

const isDateTime = (text: string): boolean =>
  /^.{10}[tT]/.test(text) && isDate(text.slice(0, 10)) && isTime(text.slice(11));

/** RFC 1123 section 2.1 */
function isHostname(text: string): boolean {
  if (text.length > 253) return false;
  return text.split(".").every((label) => /^[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?$/i.test(label));
}

/** As browsers check it: letters, digits and marks before the last @, a host name after it. */
function isEmail(text: string): boolean {
  const at = text.lastIndexOf("@");
  const local = text.slice(0, at);
  return at > 0 && at <= 64 && /^[\w.!#-'*+/=?^`{|}~-]+$/.test(local) && isHostname(text.slice(at + 1));
}

const isUri = (text: string): boolean => /^[a-z][a-z\d+.-]*:[\x21-\x7e]+$/i.test(text) && URL.canParse(text);

export const textFormats: Readonly<Record<string, TextFormat>> = {
  date: isDate,
  time: isTime,
  "date-time": isDateTime,
  duration: (text) =>
    /^P(?!$)(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?)$/.test(text),
  email: isEmail,
  hostname: isHostname,
  ipv4: isIPv4,
  ipv6: (text) => isIPv6(text) && !text.includes("%"),
  uri: isUri,
  uuid: (text) => /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i.test(text),
  byte: (text) => text.length % 4 === 0 && /^[A-Za-z\d+/]*={0,2}$/.test(text),
  "json-pointer": (text) => text === "" || /^(?:\/(?:[^~/]|~[01])*)+$/.test(text),
};

const within = (bits: number) => (value: number) =>
  Number.isInteger(value) && value >= -(2 ** (bits - 1)) && value < 2 ** (bits - 1);

export const numberFormats: Readonly<Record<string, (value: number) => boolean>> = {
  int32: within(32),
  int64: within(64),
};

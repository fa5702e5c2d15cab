// Cookies of the login: reading chunks, writing them, and keeping them from the service.
import type { Fields } from "../../src/pipeline/contract.ts";

/** Below the 4096 bytes that browsers grant a cookie with its name and attributes (RFC 6265 section 6.1). */
const chunkLength = 3_600;
/** More would not pass the listener's limit on a request's head. */
const maxChunks = 3;

export interface CookieShape {
  readonly name: string;
  readonly secure: boolean;
}

/** Value of one cookie; two of one name (which only another host's script can cause) count as none. */
export function readCookie(fields: Fields, name: string): string | undefined {
  const header = fields.get("cookie");
  if (header === undefined || !header.includes(name)) return undefined;
  const values = header
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? values[0] : undefined;
}

/** A value that was written in chunks; undefined when there is none. */
export function readChunks(fields: Fields, name: string): string | undefined {
  const first = readCookie(fields, `${name}.0`);
  if (first === undefined) return undefined;
  let value = first;
  for (let i = 1; i < maxChunks; i += 1) {
    const chunk = readCookie(fields, `${name}.${i}`);
    if (chunk === undefined) break;
    value += chunk;
  }
  return value;
}

function setCookie(name: string, value: string, secure: boolean, maxAgeSeconds: number): string {
  return `${name}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`;
}

/** @returns one `Set-Cookie` value */
export function writeCookie(
  shape: CookieShape,
  suffix: string,
  value: string,
  maxAgeSeconds: number,
): string {
  return setCookie(shape.name + suffix, value, shape.secure, maxAgeSeconds);
}

/** @returns `Set-Cookie` values that also clear chunks of a longer value before; undefined when it is too long */
export function writeChunks(shape: CookieShape, value: string, maxAgeSeconds: number): string[] | undefined {
  const chunks = Math.ceil(value.length / chunkLength);
  if (chunks > maxChunks) return undefined;
  return Array.from({ length: maxChunks }, (_, i) => {
    const chunk = value.slice(i * chunkLength, (i + 1) * chunkLength);
    return writeCookie(shape, `.${i}`, chunk, chunk === "" ? 0 : maxAgeSeconds);
  });
}

export function clearChunks(shape: CookieShape): string[] {
  return Array.from({ length: maxChunks }, (_, i) => writeCookie(shape, `.${i}`, "", 0));
}

/** Takes every cookie whose name starts so out of the request. */
export function removeCookies(fields: Fields, namePrefix: string): void {
  const header = fields.get("cookie");
  if (header === undefined || !header.includes(namePrefix)) return;
  const kept = header.split(";").filter((pair) => !pair.trimStart().startsWith(namePrefix));
  if (kept.length === 0) fields.delete("cookie");
  else fields.set("Cookie", kept.join(";").trim());
}

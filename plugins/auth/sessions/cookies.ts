// Reads and writes the cookies of the login: single ones, and values that need several.
import type { OwnedCookie } from "../../../src/plugin-api/contract.ts";

/** Less than the 4096 bytes that browsers allow for a cookie with its name and attributes (RFC 6265 section 6.1). */
const chunkLength = 3_600;
/** More would exceed the listener's limit on a request head. */
const maxChunks = 3;
/** The longest value that `writeChunks` takes. */
export const maxValueLength = chunkLength * maxChunks;

export interface CookieShape {
  readonly name: string;
  readonly secure: boolean;
}

/**
 * Whether there is a cookie of exactly that name. Another login's name may end in it.
 * @param cookies `name=value` pairs joined by "; "
 */
export function holdsCookie(cookies: string, name: string): boolean {
  return cookies.startsWith(`${name}=`) || cookies.includes(`; ${name}=`);
}

/**
 * @param cookies `name=value` pairs joined by "; "
 * @returns the value of one cookie. Two of the same name count as none: only a script of another host can cause that.
 */
export function readCookie(cookies: string | undefined, name: string): string | undefined {
  if (cookies === undefined || !cookies.includes(name)) return undefined;
  const values = cookies
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? values[0] : undefined;
}

/** @returns a value that was written in chunks; undefined when there is none */
export function readChunks(cookies: string | undefined, name: string): string | undefined {
  const first = readCookie(cookies, `${name}.0`);
  if (first === undefined) return undefined;
  let value = first;
  for (let i = 1; i < maxChunks; i += 1) {
    const chunk = readCookie(cookies, `${name}.${i}`);
    if (chunk === undefined) break;
    value += chunk;
  }
  return value;
}

/** @returns one `Set-Cookie` value; with 0 seconds it deletes the cookie */
export function writeCookie(
  { name, secure }: CookieShape,
  path: string,
  value: string,
  maxAgeSeconds: number,
): string {
  return `${name}=${value}; Path=${path}; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`;
}

/** @returns `Set-Cookie` values, which also delete the chunks of an earlier, longer value */
export function writeChunks(shape: CookieShape, value: string, maxAgeSeconds: number): string[] {
  if (value.length > maxValueLength) throw new Error("a value is too long for cookies");
  return chunkNames(shape).map(({ name }, i) => {
    const chunk = value.slice(i * chunkLength, (i + 1) * chunkLength);
    return writeCookie({ ...shape, name }, "/", chunk, chunk === "" ? 0 : maxAgeSeconds);
  });
}

export function clearChunks(shape: CookieShape): string[] {
  return chunkNames(shape).map(({ name }) => writeCookie({ ...shape, name }, "/", "", 0));
}

export function chunkNames({ name }: Pick<CookieShape, "name">): OwnedCookie[] {
  return Array.from({ length: maxChunks }, (_, i) => ({ name: `${name}.${i}` }));
}

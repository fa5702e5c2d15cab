/**
 * Reads a Content-Length (RFC 9110 section 8.6).
 * @returns bytes; undefined = it is not one number, or has more than fifteen digits, which stay exact
 */
export function readContentLength(text: string): number | undefined {
  const { length } = text;
  if (length === 0 || length > 15) return undefined;
  let bytes = 0;
  for (let i = 0; i < length; i += 1) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return undefined;
    bytes = bytes * 10 + digit;
  }
  return bytes;
}

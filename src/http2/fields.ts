// Fields on their way into HTTP/2: names in lower case, nothing of what belongs to connections (RFC 9113 section 8.2).

const ofConnections = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

export const isOfConnections = (lowerName: string): boolean => ofConnections.has(lowerName);

/**
 * Those that go on, name, value, …
 * @param head what they come behind
 * @param flat name, value, …
 * @param but one that does not go on either, in lower case
 */
export function withSent(head: string[], flat: readonly string[], but?: string): string[] {
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] as string).toLowerCase();
    if (!ofConnections.has(name) && name !== but) head.push(name, flat[i + 1] as string);
  }
  return head;
}

/** As node:http2 takes them where it takes no lists: trailers and interim responses. */
export function fieldObject(flat: readonly string[]): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = Object.create(null);
  const sent = withSent([], flat);
  for (let i = 0; i < sent.length; i += 2) {
    const [name, value] = [sent[i] as string, sent[i + 1] as string];
    const known = fields[name];
    fields[name] = known === undefined ? value : [...[known].flat(), value];
  }
  return fields;
}

/** Those that came, without pseudo-fields. */
export function withoutPseudo(flat: readonly string[]): string[] {
  return flat.filter((_text, i) => !(flat[i - (i % 2)] as string).startsWith(":"));
}

/** As a setting bounds it for HTTP/1.1, near enough: names, values, and four bytes a line. @param flat name, value, … */
export function sizeOf(flat: readonly string[]): number {
  let bytes = 0;
  for (const text of flat) bytes += text.length + 2;
  return bytes;
}

/** The first of that name. @param flat name, value, … */
export function fieldOf(flat: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i < flat.length; i += 2) {
    if ((flat[i] as string).toLowerCase() === lowerName) return flat[i + 1];
  }
  return undefined;
}

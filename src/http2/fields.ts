// Prepares fields for HTTP/2: names in lower case, and no connection-specific fields (RFC 9113 section 8.2).

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
 * Appends the fields that may be sent, as name, value, …
 * @param head receives the fields
 * @param flat name, value, …
 * @param but one more field to leave out, in lower case
 */
export function withSent(head: string[], flat: readonly string[], but?: string): string[] {
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] as string).toLowerCase();
    if (!ofConnections.has(name) && name !== but) head.push(name, flat[i + 1] as string);
  }
  return head;
}

/** Fields in the form that node:http2 takes where it takes no flat list: for trailers and interim responses. */
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

/** The received fields without pseudo-fields. */
export function withoutPseudo(flat: readonly string[]): string[] {
  return flat.filter((_text, i) => !(flat[i - (i % 2)] as string).startsWith(":"));
}

/**
 * Size of the fields, about as HTTP/1.1's limit counts: names, values, four bytes a line. @param flat name, value, …
 */
export function sizeOf(flat: readonly string[]): number {
  let bytes = 0;
  for (const text of flat) bytes += text.length + 2;
  return bytes;
}

/** The value of the first field of that name. @param flat name, value, … */
export function fieldOf(flat: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i < flat.length; i += 2) {
    if ((flat[i] as string).toLowerCase() === lowerName) return flat[i + 1];
  }
  return undefined;
}

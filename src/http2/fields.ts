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

/** name and value of those that go on. @param flat name, value, … */
export function* sentFields(flat: readonly string[]): Generator<readonly [name: string, value: string]> {
  for (let i = 0; i < flat.length; i += 2) {
    const name = (flat[i] as string).toLowerCase();
    if (!ofConnections.has(name)) yield [name, flat[i + 1] as string];
  }
}

/** As node:http2 takes them where it takes no lists: trailers and interim responses. */
export function fieldObject(flat: readonly string[]): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of sentFields(flat)) {
    const known = fields[name];
    fields[name] = known === undefined ? value : [...[known].flat(), value];
  }
  return fields;
}

/** Those that came, without pseudo-fields. */
export function withoutPseudo(flat: readonly string[]): string[] {
  return flat.filter((_text, i) => !(flat[i - (i % 2)] as string).startsWith(":"));
}

/** The first of that name. @param flat name, value, … */
export function fieldOf(flat: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i < flat.length; i += 2) {
    if ((flat[i] as string).toLowerCase() === lowerName) return flat[i + 1];
  }
  return undefined;
}

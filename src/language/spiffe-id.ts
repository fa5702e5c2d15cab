// SPIFFE ids as certificates and policies have them, by the letter of the specification (SPIFFE-ID section 2).

export interface SpiffeId {
  /** The whole, as written. */
  readonly text: string;
  readonly trustDomain: string;
}

const trustDomainText = /^[a-z0-9._-]{1,255}$/;
const segmentText = /^[A-Za-z0-9._-]+$/;
const scheme = "spiffe://";
/** SPIFFE-ID section 2.3. */
const maxLength = 2_048;

/** @returns the id of a workload; undefined = it is none: no path, an encoded, empty or dotted segment, capitals in the domain */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > maxLength || !text.startsWith(scheme)) return undefined;
  const [trustDomain = "", ...segments] = text.slice(scheme.length).split("/");
  if (!trustDomainText.test(trustDomain) || segments.length === 0) return undefined;
  return segments.every(isSegment) ? { text, trustDomain } : undefined;
}

function isSegment(text: string): boolean {
  return segmentText.test(text) && text !== "." && text !== "..";
}

export function isTrustDomain(text: string): boolean {
  return trustDomainText.test(text);
}

/** An id, or with `/*` at its end all that are below. */
export function isSpiffePattern(text: string): boolean {
  if (!text.endsWith("/*")) return parseSpiffeId(text) !== undefined;
  return parseSpiffeId(`${text.slice(0, -1)}x`) !== undefined;
}

/** @param patterns known to be well-formed */
export function compileSpiffePatterns(patterns: readonly string[]): (id: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.endsWith("/*")));
  const folders = patterns.filter((pattern) => pattern.endsWith("/*")).map((pattern) => pattern.slice(0, -1));
  return (id) => exact.has(id) || folders.some((folder) => id.startsWith(folder));
}

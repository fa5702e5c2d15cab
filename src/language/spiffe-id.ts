// Parses SPIFFE ids in certificates and policies strictly by the specification (SPIFFE-ID section 2).

export interface SpiffeId {
  /** The whole id, as written. */
  readonly text: string;
  readonly trustDomain: string;
}

const trustDomainText = /^[a-z0-9._-]{1,255}$/;
const segmentText = /^[A-Za-z0-9._-]+$/;
const scheme = "spiffe://";
/** Limit of SPIFFE-ID section 2.3. */
const maxLength = 2_048;

/**
 * @returns the id of a workload; undefined when it has no path, an encoded, empty or dot segment, or capitals in the
 * domain
 */
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

/** Whether the text is an id, or one that ends in `/*` and takes all ids below. */
export function isSpiffePattern(text: string): boolean {
  if (!text.endsWith("/*")) return parseSpiffeId(text) !== undefined;
  return parseSpiffeId(`${text.slice(0, -1)}x`) !== undefined;
}

/** @param patterns must be well-formed. @returns a test for an id */
export function compileSpiffePatterns(patterns: readonly string[]): (id: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.endsWith("/*")));
  const folders = patterns.filter((pattern) => pattern.endsWith("/*")).map((pattern) => pattern.slice(0, -1));
  return (id) => exact.has(id) || folders.some((folder) => id.startsWith(folder));
}

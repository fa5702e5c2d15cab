// Fields by which frameworks let a request name another method, path or host than the one it came with (Rails and
// Express method overrides, IIS and Symfony URL rewrites): on a guarded route what is checked must be what is served.

export const overrideFields: ReadonlySet<string> = new Set([
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-method",
  "x-original-uri",
  "x-original-url",
  "x-override-url",
  "x-rewrite-url",
  "x-http-destinationurl",
  "x-http-path-override",
  "x-original-path",
  "x-envoy-original-path",
  "x-waws-unencoded-url",
  "x-host",
  "x-http-host-override",
  "x-original-host",
]);

// One bit for each length that one of them has: most fields need no look-up. All are shorter than 32.
let lengths = 0;
for (const name of overrideFields) lengths |= 1 << name.length;

/** @param lowerName lower case, `-` for `_` */
export function isOverrideField(lowerName: string): boolean {
  const { length } = lowerName;
  return length < 32 && (lengths & (1 << length)) !== 0 && overrideFields.has(lowerName);
}

/** @returns the test for those that stop at a guarded route, all but the kept ones */
export function stoppedOverrides(kept: readonly string[]): (lowerName: string) => boolean {
  if (kept.length === 0) return isOverrideField;
  return (lowerName) => isOverrideField(lowerName) && !kept.includes(lowerName);
}

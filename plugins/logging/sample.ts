// Decides which requests a sampled log keeps, by the request id alone: all sidecars on a request's way keep the same.

/** FNV-1a, 32 bits, with murmur3's final mix: plain FNV leaves the high bits of short, similar ids alike. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** @param share 0 (none) to 1 (all) */
export function keepsSample(requestId: string, share: number): boolean {
  return share >= 1 || hash(requestId) < share * 0x1_0000_0000;
}

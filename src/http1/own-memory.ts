// Bytes that wait: a view keeps alive all that was read with it, which may be far more than what is counted.

/** @returns the same bytes, in memory of about their size */
export function inOwnMemory(view: Buffer): Buffer {
  if (view.length * 2 >= view.buffer.byteLength) return view;
  // From the pool, it would keep that alive.
  const copy = Buffer.allocUnsafeSlow(view.length);
  view.copy(copy);
  return copy;
}

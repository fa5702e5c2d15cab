// Bytes that wait: a view keeps alive all that was read with it, which may be far more than what is counted.

/** So much more than what is counted is let be: a copy costs more. */
const slackBytes = 4_096;

/** @returns the same bytes, in memory of about their size */
export function inOwnMemory(view: Buffer): Buffer {
  if (view.buffer.byteLength <= view.length * 2 + slackBytes) return view;
  // From the pool, it would keep that alive.
  const copy = Buffer.allocUnsafeSlow(view.length);
  view.copy(copy);
  return copy;
}

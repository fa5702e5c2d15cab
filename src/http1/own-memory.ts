// Copies bytes that wait: a view keeps alive the whole memory of its read, which may be far more than is counted.

/** This much memory beyond the counted bytes is accepted: a copy costs more. */
const slackBytes = 4_096;

/** @returns the same bytes, in memory of about their size */
export function inOwnMemory(view: Buffer): Buffer {
  if (view.buffer.byteLength <= view.length * 2 + slackBytes) return view;
  // Memory from the pool would keep the pool alive.
  const copy = Buffer.allocUnsafeSlow(view.length);
  view.copy(copy);
  return copy;
}

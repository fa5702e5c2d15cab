// A set-up that never ends must not keep later policies out.

/** @returns what was set up. Rejects when it takes longer than the limit; what comes later still is discarded. */
export async function withinSetUpLimit<Snapshot>(
  compiled: Promise<Snapshot>,
  limitMs: number,
  discard: (snapshot: Snapshot) => void,
): Promise<Snapshot> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      compiled.then(discard, () => {});
      reject(new Error(`set-up took longer than ${limitMs} ms`));
    }, limitMs);
  });
  try {
    return await Promise.race([compiled, limit]);
  } finally {
    clearTimeout(timer);
  }
}

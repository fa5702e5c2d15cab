// Bounds the wait for work that cannot be cancelled.

/** The work took longer than its limit. */
export class OverLimit extends Error {
  override readonly name = "OverLimit";
}

/**
 * Settles as the work does, or rejects with an `OverLimit` after `limitMs` milliseconds.
 * @param lateText message of that error
 * @param onLate gets the result if the work resolves after the limit; a later failure is ignored
 */
export function withinLimit<Result>(
  work: Promise<Result>,
  limitMs: number,
  lateText: string,
  onLate?: (result: Result) => void,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    let late = false;
    const timer = setTimeout(() => {
      // After a stall of this process the answer may already be in a socket: let the event loop read it first.
      setImmediate(() => {
        late = true;
        reject(new OverLimit(lateText));
      });
    }, limitMs);
    work.then(
      (result) => {
        clearTimeout(timer);
        if (late) onLate?.(result);
        else resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/**
 * Settles as the work does, or rejects with the signal's reason when it aborts.
 * @param onLate gets the result if the work resolves after the abort; a later failure is ignored
 */
export function unlessAborted<Result>(
  work: Promise<Result>,
  signal: AbortSignal | undefined,
  onLate?: (result: Result) => void,
): Promise<Result> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    work.then(
      (result) => {
        signal.removeEventListener("abort", abort);
        if (signal.aborted) onLate?.(result);
        else resolve(result);
      },
      (error: unknown) => {
        signal.removeEventListener("abort", abort);
        reject(error);
      },
    );
  });
}

/**
 * Waits at most `limitMs` milliseconds for work that the caller can go on without. Rejects if the work rejects within
 * the limit.
 * @returns whether the work is done
 */
export async function untilLimit(work: Promise<unknown>, limitMs: number): Promise<boolean> {
  let settled = false;
  const watched = work.finally(() => (settled = true));
  try {
    await withinLimit(watched, limitMs, "the wait is over");
    return true;
  } catch (error) {
    if (!settled) return false;
    throw error;
  }
}

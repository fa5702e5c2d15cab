// Lets a command end its work on Ctrl-C or SIGTERM in its own way.

/**
 * Runs the work until its end; the first of these signals aborts what the work gets, a second one ends the process at
 * once. A command that says that it has begun says it within the work: whoever reads that may send the signal at once.
 * @param closed aborts the work, too: for work that is for nobody once stdout is closed
 */
export async function untilSignal<Result>(
  signals: readonly ("SIGINT" | "SIGTERM")[],
  work: (stop: AbortSignal) => Promise<Result>,
  closed?: AbortSignal,
): Promise<Result> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  for (const signal of signals) process.once(signal, end);
  try {
    return await work(closed === undefined ? stop.signal : AbortSignal.any([stop.signal, closed]));
  } finally {
    for (const signal of signals) process.off(signal, end);
  }
}

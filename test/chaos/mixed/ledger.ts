// What a run of mixed traffic has seen: requests, answers, and everything that must not be.

const shownOfAKind = 3;

export class Ledger {
  /** What was asked, by request id. */
  readonly asked = new Map<string, string>();
  /** Status that the client got, by request id. */
  readonly answered = new Map<string, number>();
  /** How often each kind of fault was seen. */
  readonly faults = new Map<string, number>();
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  /** Prints the first of each kind. */
  fault(kind: string, detail: string): void {
    const times = (this.faults.get(kind) ?? 0) + 1;
    this.faults.set(kind, times);
    if (times <= shownOfAKind) this.#print(`FAULT ${kind}: ${detail.slice(0, 600)}`);
  }
}

/** What every part of a run gets. */
export interface Run {
  readonly seed: number;
  readonly ledger: Ledger;
  /** No client begins anything more. */
  readonly over: AbortSignal;
}

/** No exchange may take longer, whatever is broken off, stalled or frozen. */
export const patienceMs = 15_000;

/** @returns false if the promise is not settled in time; a rejection counts as settled */
export async function settles(promise: Promise<unknown>, limitMs = patienceMs): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), limitMs)));
  const settled = promise.then(
    () => true as const,
    () => true as const,
  );
  try {
    return await Promise.race([settled, late]);
  } finally {
    clearTimeout(timer);
  }
}

// The states of an exchange and their order. It is in one state at a time, and each callback checks only that.

export type ExchangeState =
  /** The request phase: hooks are running, or the body is being read in. */
  | "deciding"
  /** The service was asked and has not answered. */
  | "forwarding"
  /** The service failed to answer; hooks may have something better than the failure. */
  | "rescuing"
  /** There is a response, and hooks are running on it. */
  | "responding"
  /** The head is out. */
  | "streaming"
  /** Both connections are joined. */
  | "upgraded"
  /** The response cannot be completed; its connection is about to close. */
  | "broken"
  /** The outcome is reported. The client may still be sending the rest of an unwanted request. */
  | "done";

/** States that may follow any state before the response head: a fault of the sidecar can still be answered there. */
const ends = ["responding", "broken", "done"] as const;

const following: Readonly<Record<ExchangeState, readonly ExchangeState[]>> = {
  deciding: ["forwarding", ...ends],
  forwarding: ["rescuing", ...ends],
  rescuing: ends,
  // A failure may replace the response while hooks are running.
  responding: ["streaming", "upgraded", ...ends],
  streaming: ["broken", "done"],
  upgraded: ["done"],
  broken: ["done"],
  done: [],
};

export function mayFollow(state: ExchangeState, next: ExchangeState): boolean {
  return following[state].includes(next);
}

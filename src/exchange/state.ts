// How far an exchange is. It is in one state at a time, and each callback asks for that alone.

export type ExchangeState =
  /** The request phase: hooks are at work, or the body is taken in. */
  | "deciding"
  /** The service is asked, and has not answered. */
  | "forwarding"
  /** It failed to answer; hooks may have something better than the failure. */
  | "rescuing"
  /** There is a response, and hooks are at work on it. */
  | "responding"
  /** The head is out. */
  | "streaming"
  /** Both connections are joined. */
  | "upgraded"
  /** The response cannot be completed; its connection is about to close. */
  | "broken"
  /** Told to everybody. Of the client's connection, the rest of an unwanted request may still be read. */
  | "done";

/** What may follow any state before the head of the response: a failure of our own can still be answered there. */
const ends = ["responding", "broken", "done"] as const;

const following: Readonly<Record<ExchangeState, readonly ExchangeState[]>> = {
  deciding: ["forwarding", ...ends],
  forwarding: ["rescuing", ...ends],
  rescuing: ends,
  // Another one in its place: a failure, while hooks are at work.
  responding: ["streaming", "upgraded", ...ends],
  streaming: ["broken", "done"],
  upgraded: ["done"],
  broken: ["done"],
  done: [],
};

export function mayFollow(state: ExchangeState, next: ExchangeState): boolean {
  return following[state].includes(next);
}

/**
 * Runs after the event loop has read everything that has arrived until now. The first immediate runs after the events
 * that the loop had found already, the second after all that arrived before its next poll.
 */
export function afterNextPoll(run: () => void): void {
  setImmediate(setImmediate, run);
}

// What is told of an exchange when it is over.
import type { Outcome } from "../plugin-api/contract.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import type { Answer } from "./answer.ts";

export interface Ending {
  readonly complete: boolean;
  readonly answer: Answer;
  readonly live: LiveExchange;
  /** When the answer was made, or the exchange was over. */
  readonly endedMono: number;
  readonly upstreamMs: number | undefined;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

export function outcomeOf(ending: Ending): Outcome {
  const { complete, live, answer, upstreamMs, requestBytes, responseBytes } = ending;
  const { status, error, broken } = answer;
  const brokenEnd = error === undefined ? "failed" : "upstream-aborted";
  const isCutOff = answer.revoked && (broken || status === 101);
  return {
    status,
    end: isCutOff ? "revoked" : complete ? "complete" : broken ? brokenEnd : "client-aborted",
    durationMs: ending.endedMono - live.startedMono,
    upstreamMs,
    requestBytes,
    responseBytes,
    answeredBy: live.answeredBy,
    error,
  };
}

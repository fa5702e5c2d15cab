// What is told of an exchange when it is over.
import type { Outcome } from "../plugin-api/contract.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import type { ExchangeState } from "./state.ts";

export interface Ending extends Pick<
  Outcome,
  "status" | "error" | "upstreamMs" | "requestBytes" | "responseBytes"
> {
  readonly complete: boolean;
  /** Its caller might not go on. */
  readonly revoked: boolean;
  /** How far it was. */
  readonly last: ExchangeState;
  /** When the answer was made, or the exchange was over. */
  readonly endedMono: number;
}

export function outcomeOf(live: LiveExchange, ending: Ending): Outcome {
  const { complete, last, revoked, status, error, upstreamMs, requestBytes, responseBytes } = ending;
  const brokenEnd = error === undefined ? "failed" : "upstream-aborted";
  const isCutOff = revoked && (last === "broken" || last === "upgraded");
  return {
    status,
    end: isCutOff ? "revoked" : complete ? "complete" : last === "broken" ? brokenEnd : "client-aborted",
    durationMs: ending.endedMono - live.startedMono,
    upstreamMs,
    requestBytes,
    responseBytes,
    answeredBy: live.answeredBy,
    error,
  };
}

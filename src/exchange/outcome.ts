// What is told of an exchange when it is over.
import type { Outcome } from "../plugin-api/contract.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import type { ExchangeState } from "./state.ts";

/** What the exchange's parts have counted and heard. */
export type Told = Pick<
  Outcome,
  "requestBytes" | "grpcStatus" | "requestMessages" | "responseMessages" | "closeCode" | "closedBy"
>;

export interface Ending extends Pick<Outcome, "status" | "error" | "upstreamMs" | "responseBytes"> {
  readonly told: Told;
  readonly complete: boolean;
  /** Its caller might not go on, or the process ends. */
  readonly endedBy: "revoked" | "shutdown" | undefined;
  /** How far it was. */
  readonly last: ExchangeState;
  /** When the answer was made, or the exchange was over. */
  readonly endedMono: number;
}

export function outcomeOf(live: LiveExchange, ending: Ending): Outcome {
  const { status, error, upstreamMs, responseBytes } = ending;
  const { requestBytes, grpcStatus, requestMessages, responseMessages, closeCode, closedBy } = ending.told;
  return {
    status,
    end: endOf(ending),
    durationMs: ending.endedMono - live.startedMono,
    upstreamMs,
    requestBytes,
    responseBytes,
    retries: live.retries === 0 ? undefined : live.retries,
    answeredBy: live.answeredBy,
    grpcStatus,
    requestMessages,
    responseMessages,
    closeCode,
    closedBy,
    error,
  };
}

function endOf({ complete, last, endedBy, error }: Ending): Outcome["end"] {
  if (endedBy === "shutdown") return endedBy;
  if (endedBy !== undefined && (last === "broken" || last === "upgraded")) return endedBy;
  if (complete) return "complete";
  if (last !== "broken") return "client-aborted";
  return error === undefined ? "failed" : "upstream-aborted";
}

// Builds the outcome that is reported when an exchange is over.
import type { Outcome } from "../plugin-api/contract.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import type { ExchangeState } from "./state.ts";

/** What the parts of the exchange have counted and seen. */
export type Told = Pick<
  Outcome,
  "requestBytes" | "grpcStatus" | "requestMessages" | "responseMessages" | "closeCode" | "closedBy"
>;

export interface Ending extends Pick<Outcome, "status" | "error" | "upstreamMs" | "responseBytes"> {
  readonly told: Told;
  readonly complete: boolean;
  /** Access was withdrawn, or the process ends; undefined = neither. */
  readonly endedBy: "revoked" | "shutdown" | undefined;
  /** The last state before the end. */
  readonly last: ExchangeState;
  /** When the answer was ready, or the exchange was over. */
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

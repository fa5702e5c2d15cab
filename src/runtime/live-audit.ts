// Defines what the proxy tells the audit trail about an exchange, where the policy has one.
import type { GatewayError } from "../plugin-api/errors.ts";
import type { Exchange, ExchangeResponse, Outcome } from "../plugin-api/exchange.ts";

export interface PolicyAudit {
  /** Whether an answer waits until its record is written. */
  readonly blocking: boolean;
  /**
   * Whether no answer to this exchange could be recorded now, and so none could go out. The service is then not asked.
   */
  closedTo(exchange: Exchange): boolean;
  /**
   * A response is about to go to the client.
   * @param by the plugin that made the response
   * @returns undefined = the response may go out; otherwise whether its record was written within a time limit. Never
   * rejects
   */
  answering(
    exchange: Exchange,
    response: Pick<ExchangeResponse, "status" | "origin" | "error">,
    by: string | undefined,
  ): Promise<boolean> | undefined;
  /** @param recorded status of the answer that `answering` recorded */
  ended(exchange: Exchange, outcome: Outcome, recorded: number | undefined): void;
  /** A request was refused before an exchange was made of it. */
  refused(error: GatewayError, request: EarlyRequest): void;
}

export interface EarlyRequest {
  readonly requestId: string;
  readonly method: string | undefined;
  /** Without the query. */
  readonly path: string | undefined;
  readonly address: string;
}

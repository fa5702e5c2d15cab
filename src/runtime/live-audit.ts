// What an exchange tells the audit trail, where the policy has one.
import type { GatewayError } from "../plugin-api/errors.ts";
import type { Exchange, ExchangeResponse, Outcome } from "../plugin-api/exchange.ts";

export interface PolicyAudit {
  /** No answer goes out before its record is written. */
  readonly blocking: boolean;
  /** Whether no answer to it could go out now: nobody is asked for one. */
  closedTo(exchange: Exchange): boolean;
  /**
   * A response is about to go to the client.
   * @param by the plugin that made it
   * @returns undefined = it may go; else whether its record is written, within a time limit. Never rejects
   */
  answering(
    exchange: Exchange,
    response: Pick<ExchangeResponse, "status" | "origin" | "error">,
    by: string | undefined,
  ): Promise<boolean> | undefined;
  /** @param recorded status of the answer that `answering` was told of */
  ended(exchange: Exchange, outcome: Outcome, recorded: number | undefined): void;
  /** A request was refused before it was an exchange. */
  refused(error: GatewayError, request: EarlyRequest): void;
}

export interface EarlyRequest {
  readonly requestId: string;
  readonly method: string | undefined;
  /** Without its query. */
  readonly path: string | undefined;
  readonly address: string;
}

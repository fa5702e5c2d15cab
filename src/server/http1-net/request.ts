// Turns what the parser has read into a request for a stream.
import type { RequestParser } from "../../http1/request-parser.ts";

export interface StreamRequest {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: string;
  readonly fields: readonly string[];
  readonly keepAlive: boolean;
  /** The client waits for `100 Continue` before it sends its body. */
  readonly expectsContinue: boolean;
  readonly upgrades: boolean;
  /** The request has no body. */
  readonly isWhole: boolean;
}

/**
 * Upgrades that are not safe are served as plain requests: h2c would carry requests past the policy; an upgrade with a
 * body is two messages in one; HTTP/1.0 has no upgrades; a client that sends one after a request in flight has not
 * waited its turn.
 * @param wasHeld whether the request has waited until an earlier answer was out
 */
export function requestOf(
  { line, framing, fields, complete: isWhole }: RequestParser,
  wasHeld: boolean,
): StreamRequest {
  const { method, target, httpVersion } = line;
  const { keepAlive, expectsContinue, upgrade } = framing;
  const isAlone = isWhole && httpVersion === "1.1" && !wasHeld;
  const upgrades = isAlone && upgrade !== undefined && !/(?:^|,)\s*h2c?\s*(?:,|$)/.test(upgrade);
  return { method, target, httpVersion, fields, keepAlive, expectsContinue, upgrades, isWhole };
}

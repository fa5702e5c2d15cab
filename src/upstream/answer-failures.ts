// The errors of exchanges whose connection was open, but whose answer did not come, or not as an answer should.
import { GatewayError } from "../plugin-api/errors.ts";

export function answerTimeout(): GatewayError {
  return new GatewayError("upstream_timeout", "The service did not answer in time.");
}

/** @param cause undefined = the connection ended in order */
export function brokenOff(cause: Error | undefined): GatewayError {
  return new GatewayError("upstream_reset", "The service closed the connection.", { cause });
}

export function invalidAnswer(problem: string): GatewayError {
  const cause = new Error(problem);
  return new GatewayError("upstream_invalid_response", "The service sent an invalid response.", { cause });
}

// The errors for a request body that is not forwarded any further.
import { GatewayError } from "../plugin-api/errors.ts";

export const tooLarge = (maxBytes: number): GatewayError =>
  new GatewayError("payload_too_large", `The body is larger than ${maxBytes} bytes.`);

export const stalledError = (): GatewayError =>
  new GatewayError("request_timeout", "The body stopped coming, or came too slowly.");

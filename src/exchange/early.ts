// Refuses requests before any plugin runs.
import { GatewayError } from "../plugin-api/errors.ts";
import { isLooping } from "../client/client-address.ts";
import { tooLarge } from "./body-errors.ts";
import type { Inbound } from "./context.ts";
import type { Routing } from "../routing/routed-policy.ts";

/** @param maxBodyBytes 0 = unlimited @returns why the request is refused; undefined = it continues */
export function earlyRefusal(
  { early }: Routing,
  { head }: Inbound,
  maxBodyBytes: number,
): GatewayError | undefined {
  if (early !== undefined) return early;
  if (isLooping(head.fields)) {
    return new GatewayError("proxy_loop", "The request has passed too many sidecars.");
  }
  if (maxBodyBytes > 0 && head.contentLength > maxBodyBytes) {
    return tooLarge(maxBodyBytes);
  }
  return undefined;
}

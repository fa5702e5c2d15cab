// Reads request bodies before the service is asked: neither the service nor a connection to it waits for a slow client.
import { isGrpcType } from "../plugin-api/grpc-type.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { shareKey } from "../client/client-address.ts";
import type { Inbound } from "./context.ts";
import type { RequestBody } from "./request-body.ts";

/** The part of an exchange that concerns its body. */
interface BodyExchange {
  readonly inbound: Inbound;
  readonly body: RequestBody;
  readonly route: { readonly bufferRequestBytes: number };
  bodyFailed(error: GatewayError): void;
  crashed(error: unknown): void;
}

/** @param goOn called later, once, if this returns true, unless the body fails first */
export function takesInFirst(exchange: BodyExchange, goOn: () => void): boolean {
  const { inbound, body } = exchange;
  const { head, client } = inbound;
  if (head.body === "none") return false;
  if (body.reading !== undefined) {
    // A plugin did not wait for the body that it asked for.
    body.reading.then(goOn, goOn).catch((error: unknown) => exchange.crashed(error));
    return true;
  }
  const most = exchange.route.bufferRequestBytes;
  const streams = most === 0 || isGrpcType(head.fields.get("content-type"));
  if (streams) {
    // Such a stream may take its time in both directions.
    body.unpace();
    return false;
  }
  // A body of unknown length may be a stream in which each part waits for an answer. After `Expect`, the client waits
  // for the service.
  if (head.body === "chunked" || head.expectsContinue) return false;
  const taking = body.takeIn(shareKey(client.address), head.contentLength, most);
  if (taking === undefined) return false;
  const failed = (error: unknown): void => {
    if (!(error instanceof GatewayError)) throw error;
    if (error.code === "payload_too_large") goOn();
    // If the body broke off, the client has left, and the exchange ends with its connection.
    else if (error.code !== "malformed_request") exchange.bodyFailed(error);
  };
  taking.then(goOn, failed).catch((error: unknown) => exchange.crashed(error));
  return true;
}

// Encodes what a guest may know of an exchange, in the form that the shim reads: texts separated by zeros.
import type { Exchange, ExchangeResponse, Outcome } from "../../plugin-api/contract.ts";
import { toBytes } from "./bytes.ts";
import type { FieldRules } from "./field-rules.ts";

export interface Head {
  readonly text: string;
  /** How many fields it has, pseudo-fields included. */
  readonly count: number;
}

/** Most fields that are counted for a guest. */
export const maxFields = 4_095;

/** Statuses whose responses have no content (RFC 9110 sections 6.4.1 and 15.3.6). */
const bodiless = new Set([204, 205, 304]);

/** Pseudo-fields first: `:authority`, `:path`, `:method`, `:scheme`. */
export function requestHead({ request }: Exchange, rules: FieldRules): Head {
  const { host, path, query, method, scheme, fields } = request;
  const { text, count } = rules.textOf(`${host}\0${path}${query}\0${method}\0${scheme}`, fields);
  return { text, count: count + 4 };
}

export function responseHead(response: ExchangeResponse, rules: FieldRules): Head {
  const { text, count } = rules.textOf(String(response.status), response.fields);
  return { text, count: count + 1 };
}

/** shim/property-calls.ts reads the texts in this order. */
export function exchangeInfo(exchange: Exchange): string {
  const { request, client, route } = exchange;
  const isMutual = client.tls?.certificate === undefined ? "0" : "1";
  const startedMs = Math.round(exchange.startedAt);
  const from = `${exchange.id}\0${client.address}\0${client.peer}\0HTTP/${request.httpVersion}\0${startedMs}`;
  return `${from}\0${toBytes(route.pattern)}\0${route.upstream}\0${isMutual}\0\0`;
}

/** Facts known only at the end; they follow those of `exchangeInfo`. */
export function outcomeInfo(outcome: Outcome, details: string): string {
  const { status, durationMs, requestBytes, responseBytes } = outcome;
  return `${status}\0${Math.round(durationMs)}\0${requestBytes}\0${responseBytes}\0${toBytes(details.replaceAll("\0", " ").replaceAll("\x01", " "))}`;
}

/** Whether content follows the head. */
export function hasContent({ request }: Exchange, response: ExchangeResponse): boolean {
  return (
    request.method !== "HEAD" &&
    !bodiless.has(response.status) &&
    response.fields.get("content-length") !== "0"
  );
}

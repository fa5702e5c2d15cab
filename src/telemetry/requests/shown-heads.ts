// Heads of an exchange as whoever looks on may see them: what commonly carries a secret is redacted, by its name or by that
// of a query's parameter, and what is long is cut.
import { compileQueryRedaction, redacted, secretNames } from "../../language/redaction.ts";
import type { Exchange, Outcome } from "../../plugin-api/exchange.ts";
import { fieldKey } from "../../language/field-name.ts";

const maxValue = 1_024;
const maxFields = 100;
const maxBytes = 16_384;

/** Of names that nobody has told us of. */
const soundsSecret =
  /auth|bearer|cookie|credential|csrf|dpop|jwt|key|otp|pass(?:wd|word)|pin$|saml|secret|session|sig$|signature|token|assertion|identity|xsrf/;

/** A token among the subprotocols of a WebSocket, whose scripts can set no other field; a JWT (RFC 7519) in any. */
const looksSecret = /eyJ[\w-]{4,1000}\.[\w-]/;
const jwts = /eyJ[\w-]{4,1000}\.[\w.-]+/g;
const subprotocols = "sec-websocket-protocol";
const maxProtocolLength = 40;

/** name, value */
export type ShownField = readonly [string, string];

export interface HeadsOfExchange {
  /** As it came. */
  readonly requestFields: readonly string[];
  readonly query: string;
  /** As it went. */
  readonly responseFields: readonly string[];
  readonly status: number;
}

export function tapEvent(exchange: Exchange, outcome: Outcome, heads: HeadsOfExchange): string {
  const { request, route, client, identity, trace } = exchange;
  const secrets = secretNames(route.secretNames);
  const redactNamed = compileQueryRedaction(secrets, soundsSecret);
  const redactQuery = (query: string): string => redactNamed(query).replace(jwts, redacted);
  const fieldsOf = (flat: readonly string[]) => shownFields(flat, secrets, redactQuery);
  const { durationMs, upstreamMs, end, answeredBy, error, requestBytes, responseBytes } = outcome;
  const event = {
    at: new Date(exchange.startedAt).toISOString(),
    requestId: exchange.id,
    traceId: trace?.traceId ?? null,
    route: route.pattern === "" ? null : route.pattern,
    client: client.address,
    userId: identity?.userId ?? null,
    request: {
      method: request.method,
      path: cut(request.path),
      query: cut(redactQuery(heads.query)),
      host: request.host,
      httpVersion: request.httpVersion,
      fields: fieldsOf(heads.requestFields),
      bytes: requestBytes,
    },
    response: { status: heads.status, fields: fieldsOf(heads.responseFields), bytes: responseBytes },
    outcome: {
      status: outcome.status,
      end,
      durationMs,
      upstreamMs: upstreamMs ?? null,
      answeredBy: answeredBy ?? null,
      error: error?.code ?? null,
      refusedBecause: exchange.refusedBecause ?? null,
      cacheStatus: exchange.cacheStatus ?? null,
    },
  };
  const text = JSON.stringify(event);
  if (text.length <= maxBytes) return text;
  const none = { fields: [], cut: true };
  return JSON.stringify({
    ...event,
    request: { ...event.request, ...none },
    response: { ...event.response, ...none },
  });
}

function shownFields(
  flat: readonly string[],
  secrets: ReadonlySet<string>,
  redactQuery: (query: string) => string,
): ShownField[] {
  const shown: ShownField[] = [];
  for (let i = 0; i + 1 < flat.length && shown.length < maxFields; i += 2) {
    const name = flat[i] as string;
    const value = flat[i + 1] as string;
    const key = fieldKey(name.toLowerCase());
    const isHidden = secrets.has(key) || soundsSecret.test(key) || hides(key, value);
    shown.push([cut(name), isHidden ? redacted : cut(redactQuery(value))]);
  }
  return shown;
}

/** By what it is. */
function hides(key: string, value: string): boolean {
  if (looksSecret.test(cut(value))) return true;
  if (key !== subprotocols) return false;
  return (
    soundsSecret.test(value.toLowerCase()) || value.split(",").some((each) => each.length > maxProtocolLength)
  );
}

const cut = (text: string): string => (text.length > maxValue ? `${text.slice(0, maxValue)}…` : text);

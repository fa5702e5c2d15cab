// Writes an exchange's heads for `outrigger tap`. Values that probably hold a secret are redacted, by the name of the
// field or query parameter or by their form; long values are cut.
import { compileQueryRedaction, redacted, secretNames } from "../../language/redaction.ts";
import type { Exchange, Outcome } from "../../plugin-api/exchange.ts";
import { fieldKey } from "../../language/field-name.ts";

const maxValue = 1_024;
const maxFields = 100;
const maxBytes = 16_384;

/** Catches secret-sounding names that neither policy nor settings list. */
const soundsSecret =
  /auth|bearer|cookie|credential|csrf|dpop|jwt|key|otp|pass(?:wd|word)|pin$|saml|secret|session|sig$|signature|token|assertion|identity|xsrf/;

/**
 * A WebSocket's subprotocols may hold a token (scripts can set no other field); any field may hold a JWT (RFC 7519).
 */
const looksSecret = /eyJ[\w-]{4,1000}\.[\w-]/;
const jwts = /eyJ[\w-]{4,1000}\.[\w.-]+/g;
const subprotocols = "sec-websocket-protocol";
const maxProtocolLength = 40;

/** Name and value. */
export type ShownField = readonly [string, string];

export interface HeadsOfExchange {
  /** As the client sent them. */
  readonly requestFields: readonly string[];
  readonly query: string;
  /** As they went to the client. */
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

/** Whether a value looks like a secret, whatever its name. */
function hides(key: string, value: string): boolean {
  if (looksSecret.test(cut(value))) return true;
  if (key !== subprotocols) return false;
  return (
    soundsSecret.test(value.toLowerCase()) || value.split(",").some((each) => each.length > maxProtocolLength)
  );
}

const cut = (text: string): string => (text.length > maxValue ? `${text.slice(0, maxValue)}…` : text);

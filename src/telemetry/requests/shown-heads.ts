// Heads of an exchange as whoever looks on may see them: what commonly carries a secret is redacted, by its name or by that
// of a query's parameter, and what is long is cut.
import { compileQueryRedaction, redacted, secretNames } from "../../language/secret-names.ts";
import type { Exchange, Outcome } from "../../plugin-api/exchange.ts";
import { fieldKey } from "../../language/field-name.ts";

const maxValue = 1_024;
const maxFields = 100;
const maxBytes = 16_384;

/** Of names that nobody has told us of. */
const soundsSecret =
  /auth|cookie|credential|jwt|key|pass(?:wd|word)|secret|session|sig(?:nature)?$|token|assertion|identity/;

/** Fields with URLs, whose queries have parameters. */
const withUrls = new Set(["content-location", "link", "location", "referer", "refresh"]);

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
  const redactQuery = compileQueryRedaction(secrets);
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
    const hides = secrets.has(key) || soundsSecret.test(key);
    shown.push([cut(name), hides ? redacted : cut(withUrls.has(key) ? redactQuery(value) : value)]);
  }
  return shown;
}

const cut = (text: string): string => (text.length > maxValue ? `${text.slice(0, maxValue)}…` : text);

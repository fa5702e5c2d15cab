// Converts what a plugin's process is shown of an exchange.
import type { Exchange, ExchangeResponse, Outcome, RouteInfo } from "../../plugin-api/exchange.ts";
import type { GatewayError } from "../../plugin-api/errors.ts";
import type { ExtensionFields } from "../extension-fields.ts";
import type { ErrorParts, ExchangeFacts, HookSubject, LateFacts, RouteFacts } from "./protocol.ts";

export function routeFacts(route: RouteInfo): RouteFacts {
  const { pattern, upstream, caseInsensitive, secretNames, stripPrefix, strippedOver } = route;
  return {
    pattern,
    upstream,
    caseInsensitive,
    secretNames: [...secretNames],
    stripPrefix: stripPrefix ?? null,
    strippedOver,
  };
}

export function exchangeFacts(
  { id, startedAt, request, client }: Exchange,
  fields: ExtensionFields,
): ExchangeFacts {
  return [
    id,
    startedAt,
    request.method,
    request.path,
    request.strippedPath,
    request.upstreamPath,
    request.query,
    request.host,
    request.scheme,
    request.httpVersion,
    request.upgrade ?? null,
    request.hasBody,
    fields.shown(request.fields),
    client.address,
    client.peer,
    client.viaTrustedProxy,
  ];
}

const nobody: readonly string[] = [];

/** @returns null when no earlier plugin has set anything */
export function lateFacts(exchange: Exchange): LateFacts | null {
  const { identity, credentialFields, cacheStatus, responseIsPersonal, refusedBecause } = exchange;
  if (
    identity === undefined &&
    cacheStatus === undefined &&
    refusedBecause === undefined &&
    !responseIsPersonal &&
    credentialFields.length === 0
  )
    return null;
  return [
    identity ?? null,
    credentialFields.length === 0 ? nobody : credentialFields,
    cacheStatus ?? null,
    responseIsPersonal,
    refusedBecause ?? null,
  ];
}

export function responseSubject(response: ExchangeResponse, fields: ExtensionFields): HookSubject {
  const { status, origin, error } = response;
  return [status, fields.shown(response.fields), origin, error === undefined ? null : errorParts(error)];
}

export function outcomeSubject({ error, ...outcome }: Outcome): HookSubject {
  return [{ ...outcome, error: error === undefined ? null : errorParts(error) }];
}

export function errorParts({ code, detail, fields, type, members }: GatewayError): ErrorParts {
  return [code, detail, fields, type, members];
}

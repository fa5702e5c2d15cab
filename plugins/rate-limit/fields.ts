// Writes what callers are told of their limits: RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers-10, structured fields of RFC 9651), the older X-RateLimit-*, Retry-After, and
// the problem document of a refusal.
import { GatewayError, type ExchangeResponse } from "../../src/plugin-api/contract.ts";
import type { Reservation, Limit } from "./limit.ts";

/** Problem type of the draft, section "Quota Exceeded". */
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded";

export interface FieldChoice {
  readonly standard: boolean;
  readonly legacy: boolean;
}

/** The value of RateLimit-Policy. It is the same for every answer, so callers make it once. */
export function policyField(limits: readonly Limit[], further: readonly string[] = []): string {
  return [...limits.map(({ policyItem }) => policyItem), ...further].join(", ");
}

/** The binding limit, reported in the fields: the refusing one with the longest wait, else the one with least left. */
export function mostRestrictive(reservations: readonly Reservation[]): Reservation | undefined {
  let chosen: Reservation | undefined;
  for (const reservation of reservations) {
    if (chosen === undefined || isMoreRestrictive(reservation, chosen)) chosen = reservation;
  }
  return chosen;
}

function isMoreRestrictive(reservation: Reservation, than: Reservation): boolean {
  if (reservation.exceeded !== than.exceeded) return reservation.exceeded;
  if (reservation.exceeded) return reservation.retryMs > than.retryMs;
  return reservation.remaining < than.remaining;
}

/** Appends the fields: if the service sends its own, they stay as further list members. */
export function writeFields(
  response: ExchangeResponse,
  reservation: Reservation,
  policy: string,
  choice: FieldChoice,
): void {
  const seconds = Math.ceil((reservation.exceeded ? reservation.retryMs : reservation.resetMs) / 1000);
  if (choice.standard) {
    response.fields.append("RateLimit-Policy", policy);
    response.fields.append(
      "RateLimit",
      `${reservation.limit.fieldPrefix}${reservation.remaining};t=${seconds}`,
    );
  }
  if (choice.legacy) {
    response.fields.set("X-RateLimit-Limit", String(reservation.limit.quota));
    response.fields.set("X-RateLimit-Remaining", String(reservation.remaining));
    response.fields.set("X-RateLimit-Reset", String(seconds));
  }
}

/** @param names of the limits that were exceeded */
export function quotaError(names: readonly string[], retryMs: number, detail: string): GatewayError {
  return new GatewayError("rate_limited", detail, {
    type: quotaExceeded,
    // At least a second: "0" would ask for an immediate retry.
    fields: ["Retry-After", String(Math.max(1, Math.ceil(retryMs / 1000)))],
    members: { "violated-policies": names },
  });
}

// The key in Cache-Status (RFC 9211 section 2.8), for the callers that the policy names: it says how the fleet is built.
import type { Exchange, ExchangeResponse } from "../../src/pipeline/contract.ts";

const note = "cache key";

/** Keeps the key for `tellKey`. */
export function noteKey(exchange: Exchange, url: string): void {
  exchange.notes.set(note, url);
}

/** Adds the key to our line of Cache-Status, the last one, where the caller has the role. */
export function tellKey(exchange: Exchange, { fields }: ExchangeResponse, role: string): void {
  const key = exchange.notes.get(note);
  const lines = fields.getAll("cache-status");
  const ours = lines.pop();
  if (typeof key !== "string" || ours === undefined || exchange.identity?.roles.includes(role) !== true)
    return;
  fields.delete("cache-status");
  for (const line of lines) fields.append("Cache-Status", line);
  fields.append("Cache-Status", `${ours}; key="${key.replace(/[\\"]/g, "\\$&")}"`);
}

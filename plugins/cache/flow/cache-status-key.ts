// The key in Cache-Status (RFC 9211 section 2.8), for the callers that the policy names: it says how the fleet is built.
import { note, type Exchange, type ExchangeResponse } from "../../../src/plugin-api/contract.ts";

const statusKeyNote = note<string>("cache key");

/** Keeps the key for `writeStatusKey`. */
export function keepStatusKey(exchange: Exchange, url: string): void {
  statusKeyNote.set(exchange, url);
}

/** Adds the key to our line of Cache-Status, the last one, where the caller has the role. */
export function writeStatusKey(exchange: Exchange, { fields }: ExchangeResponse, role: string): void {
  const key = statusKeyNote.get(exchange);
  const lines = fields.getAll("cache-status");
  const ours = lines.pop();
  if (key === undefined || ours === undefined || exchange.identity?.roles.includes(role) !== true) return;
  fields.delete("cache-status");
  for (const line of lines) fields.append("Cache-Status", line);
  fields.append("Cache-Status", `${ours}; key="${key.replace(/[\\"]/g, "\\$&")}"`);
}

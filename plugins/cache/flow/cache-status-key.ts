// Writes the cache key to Cache-Status (RFC 9211 section 2.8), only for callers with the role that the policy names:
// the key shows how the fleet is built.
import { note, type Exchange, type ExchangeResponse } from "../../../src/plugin-api/contract.ts";

const statusKeyNote = note<string>("cache key");

/** Keeps the key for `writeStatusKey`. */
export function keepStatusKey(exchange: Exchange, url: string): void {
  statusKeyNote.set(exchange, url);
}

/** Adds the key to this cache's line of Cache-Status, which is the last one, if the caller has the role. */
export function writeStatusKey(exchange: Exchange, { fields }: ExchangeResponse, role: string): void {
  const key = statusKeyNote.get(exchange);
  const lines = fields.getAll("cache-status");
  const ours = lines.pop();
  if (key === undefined || ours === undefined || exchange.identity?.roles.includes(role) !== true) return;
  fields.delete("cache-status");
  for (const line of lines) fields.append("Cache-Status", line);
  fields.append("Cache-Status", `${ours}; key="${key.replace(/[\\"]/g, "\\$&")}"`);
}

// Keeps an answer that sets session cookies out of shared caches.
import type { Fields } from "../../../src/plugin-api/contract.ts";

/** Fields that caches of content networks and servers obey instead of Cache-Control (RFC 9213 and its predecessors). */
function isTargeted(name: string): boolean {
  return (
    name.endsWith("-cache-control") ||
    name === "surrogate-control" ||
    name === "edge-control" ||
    name === "x-accel-expires" ||
    name === "expires"
  );
}

export function makePrivate(fields: Fields): void {
  const asked = fields.get("cache-control")?.toLowerCase() ?? "";
  const storing = asked.includes("no-store") ? "no-store" : "private, no-cache";
  fields.deleteWhere(isTargeted);
  fields.set("Cache-Control", asked.includes("no-transform") ? `${storing}, no-transform` : storing);
}

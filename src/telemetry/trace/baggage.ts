// Baggage on its way to the service (W3C Baggage): passed on as it came within the specification's bounds, never read.
import type { Fields } from "../../plugin-api/fields.ts";

/** What every party has to pass on (section 3.3.2). */
const maxBytes = 8_192;
const maxMembers = 64;

/** @returns false when it was too much, and is gone */
export function boundBaggage(fields: Fields): boolean {
  const value = fields.get("baggage");
  if (value === undefined) return true;
  let members = 1;
  for (let at = value.indexOf(","); at !== -1 && members <= maxMembers; at = value.indexOf(",", at + 1)) {
    members += 1;
  }
  if (value.length <= maxBytes && members <= maxMembers) return true;
  fields.delete("baggage");
  return false;
}

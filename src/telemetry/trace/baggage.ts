// Bounds the baggage on its way to the service (W3C Baggage). Within the specification's limits it is passed on unread.
import type { Fields } from "../../plugin-api/fields.ts";

/** The size that every party must pass on (section 3.3.2). */
const maxBytes = 8_192;
const maxMembers = 64;

/** @returns false when the baggage was over a limit and has been removed */
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

// Adds to the Vary field (RFC 9110 section 12.5.5) and never replaces it: the service may vary on other fields, too.
import type { Fields } from "../../src/plugin-api/contract.ts";

/** Adds one field name to Vary, unless Vary already has that name or `*`. */
export function addVary(fields: Fields, name: string): void {
  const present = fields.get("vary");
  if (present === undefined) {
    fields.append("Vary", name);
    return;
  }
  const wanted = name.toLowerCase();
  for (const member of present.split(",")) {
    const lower = member.trim().toLowerCase();
    if (lower === "*" || lower === wanted) return;
  }
  fields.set("Vary", `${present}, ${name}`);
}

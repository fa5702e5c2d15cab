// The Vary field (RFC 9110 section 12.5.5), merged and never replaced: the service may vary on more than we know.
import type { Fields } from "../../src/plugin-api/contract.ts";

/** Adds one field name to Vary unless it, or `*`, is there. */
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

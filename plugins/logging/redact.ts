// What the access log must not show: header fields that carry secrets.
import { fieldKey, type Fields } from "../../src/plugin-api/contract.ts";
import { redacted } from "../../src/language/secret-names.ts";
import { jsonText } from "./text.ts";

/**
 * Compiles the choice of fields.
 * @returns a function from fields to the JSON object of those that are there, or "" when none is
 */
export function compileFieldPicker(
  names: readonly string[],
  secrets: ReadonlySet<string>,
): (fields: Fields) => string {
  const picked = [...new Set(names.map((name) => name.toLowerCase()))].map((lower) => ({
    lower: fieldKey(lower),
    key: `"${lower}":`,
    secret: secrets.has(fieldKey(lower)),
  }));
  return function pickFields(fields) {
    let members = "";
    for (const { lower, key, secret } of picked) {
      const value = fields.get(lower);
      if (value === undefined) continue;
      members += `${members === "" ? "" : ","}${key}${jsonText(secret ? redacted : value)}`;
    }
    return members === "" ? "" : `{${members}}`;
  };
}

// Defines names of header fields as policies write them (RFC 9110 section 5.1), and the form in which they are looked
// up.
import { z } from "zod";
import { term } from "./terms.ts";

/** One character of a token (RFC 9110 section 5.6.2); the wildcard `*` happens to be one as well. */
export const tokenCharacter = "[!#$%&'*+.^_`|~0-9A-Za-z-]";
const token = new RegExp(`^${tokenCharacter}+$`);

/** Whether the text can be a method or a field's name. */
export const isToken = (text: string): boolean => token.test(text);

/** Source of a regular expression without anchors, for patterns that contain a name: `header:<name>`. */
export const fieldNameSource = `${tokenCharacter}{1,128}`;

/** A name, spelled as in the policy. */
export const writtenFieldName = term(
  "field name",
  z.string().regex(new RegExp(`^${fieldNameSource}$`), "must be a field name"),
);

/** A name, converted to the lookup form. */
export const fieldName = writtenFieldName.overwrite(fieldKey);

/**
 * Converts a name to the lookup form: lower case, with `-` for `_`. CGI, WSGI and similar interfaces pass both
 * spellings to programs as one name, so a check of one spelling must cover the other.
 */
export function fieldKey(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}

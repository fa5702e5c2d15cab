// Names of header fields as policies write them (RFC 9110 section 5.1), and the form in which they are looked up.
import { z } from "zod";
import { term } from "./terms.ts";

/** One character of a token (RFC 9110 section 5.6.2); the wildcard `*` happens to be one as well. */
export const tokenCharacter = "[!#$%&'*+.^_`|~0-9A-Za-z-]";
const token = new RegExp(`^${tokenCharacter}+$`);

/** Of a method or a field's name. */
export const isToken = (text: string): boolean => token.test(text);

/** Without anchors, for patterns that hold a name: `header:<name>`. */
export const fieldNameSource = `${tokenCharacter}{1,128}`;

/** A name in the spelling that a policy gives it. */
export const writtenFieldName = term(
  "field name",
  z.string().regex(new RegExp(`^${fieldNameSource}$`), "must be a field name"),
);

/** A name as fields are looked up by it. */
export const fieldName = writtenFieldName.overwrite(fieldKey);

/**
 * The form by which fields are looked up: lower case, with `-` for `_`. CGI, WSGI and their kin hand both to programs as
 * one name, so whoever is checked under one spelling is checked under the other.
 */
export function fieldKey(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}

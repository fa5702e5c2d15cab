// Whether text can stand in a head, where nothing in it may end a line (RFC 9110 sections 5.5 and 5.6.2).
import { tokenCharacter } from "../language/field-name.ts";

const token = new RegExp(`^${tokenCharacter}+$`);
// Characters above 0xff would be cut to their low byte when written, and could so become a line end.
// oxlint-disable-next-line no-control-regex
const outsideFieldValue = /[^\t\x20-\x7e\x80-\xff]/;

/** Of a method or a field's name. */
export const isToken = (text: string): boolean => token.test(text);

/** Of a field, or the reason phrase. */
export const isFieldValue = (text: string): boolean => !outsideFieldValue.test(text);

// Which bodies are JSON in UTF-8 (RFC 8259 section 8.1), by their Content-Type.
import { tokenCharacter } from "../../src/language/field-name.ts";

/** With `,` also where a service says its type twice. */
const jsonType = new RegExp(
  `^application/(?:(?:(?!\\+)${tokenCharacter})+\\+)?json(?:[ \\t]*[;,]|[ \\t]*$)`,
  "i",
);
const otherCharset = /[;,][ \t]*charset[ \t]*=(?!"?utf-8"?[ \t]*(?:[;,]|$))/i;

/** Whoever wrote it says that it is JSON. A charset that it names has no meaning there (RFC 8259 section 11). */
export const saysJson = (contentType: string): boolean => jsonType.test(contentType);

/** Also by its charset, which some services read by all the same: a client's body in UTF-7 is another to them. */
export const isJson = (contentType: string): boolean =>
  saysJson(contentType) && !contentType.includes(",") && !otherCharset.test(contentType);

export const isPlain = (contentEncoding: string | undefined): boolean =>
  contentEncoding === undefined || /^(?:identity)?$/i.test(contentEncoding.trim());

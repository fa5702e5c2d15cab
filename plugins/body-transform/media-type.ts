// Which bodies are JSON in UTF-8 (RFC 8259 section 8.1), by their Content-Type.
import { tokenCharacter } from "../../src/language/field-name.ts";

const jsonType = new RegExp(
  `^application/(?:(?:(?!\\+)${tokenCharacter})+\\+)?json(?:[ \\t]*;|[ \\t]*$)`,
  "i",
);
const otherCharset = /;[ \t]*charset=(?!"?utf-8"?[ \t]*(?:;|$))/i;

export const isJson = (contentType: string): boolean =>
  jsonType.test(contentType) && !otherCharset.test(contentType);

export const isPlain = (contentEncoding: string | undefined): boolean =>
  contentEncoding === undefined || /^(?:identity)?$/i.test(contentEncoding.trim());

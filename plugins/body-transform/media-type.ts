// Decides by Content-Type which bodies are JSON in UTF-8 (RFC 8259 section 8.1).
import { tokenCharacter } from "../../src/language/field-name.ts";

/** `,` is accepted after the type, because some services send it twice. */
const jsonType = new RegExp(
  `^application/(?:(?:(?!\\+)${tokenCharacter})+\\+)?json(?:[ \\t]*[;,]|[ \\t]*$)`,
  "i",
);
const otherCharset = /[;,][ \t]*charset[ \t]*=(?!"?utf-8"?[ \t]*(?:[;,]|$))/i;

/** Whether the type is JSON. Any charset parameter is ignored, since JSON defines none (RFC 8259 section 11). */
export const saysJson = (contentType: string): boolean => jsonType.test(contentType);

/** For requests, the charset must be UTF-8: services that use another one, such as UTF-7, would read another body. */
export const isJson = (contentType: string): boolean =>
  saysJson(contentType) && !contentType.includes(",") && !otherCharset.test(contentType);

export const isPlain = (contentEncoding: string | undefined): boolean =>
  contentEncoding === undefined || /^(?:identity)?$/i.test(contentEncoding.trim());

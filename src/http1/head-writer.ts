// Writes a request head. Checks that nothing in it can end a line early or announce another body than the one that
// follows (RFC 9112 sections 3 and 6), since the code that built the fields is not trusted here.
import { pairsOf } from "../plugin-api/pairs.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { readContentLength } from "./content-length.ts";
import { isToken } from "../language/field-name.ts";
import { knownName } from "../plugin-api/field-names.ts";
import { isFieldValue } from "./field-text.ts";
import { allowedTrailers } from "./trailers.ts";

/**
 * How a request's body is sent. `stream`: framed as the fields say (`Content-Length`, or `Transfer-Encoding: chunked`).
 * A Buffer: `Content-Length` is in the fields.
 */
export type BodyToSend = "none" | "stream" | Buffer;

export interface RequestToSend {
  readonly method: string;
  /** Origin-form target as it goes on the wire: path and query, ASCII, checked by the caller. */
  readonly target: string;
  /** name, value, name, value …: complete (Host, Content-Length or Transfer-Encoding), without hop-by-hop fields. */
  readonly fields: readonly string[];
  readonly body: BodyToSend;
}

/** Value of `bodyBytes` for a chunked request. */
export const CHUNKED = -1;

export interface EncodedHead {
  /** The head as it goes on the wire, one character per byte (latin1). */
  readonly text: string;
  /** Bytes of the body, or CHUNKED. */
  readonly bodyBytes: number;
  /** Whether the client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

const visibleAscii = /^[\x21-\x7e]+$/;

/** @returns the head; or `malformed_request` for a forbidden character, `internal_error` for wrong framing */
export function encodeHead(request: RequestToSend): EncodedHead | GatewayError {
  const { method, target, fields } = request;
  if (!isToken(method)) return refusal("method");
  if (!visibleAscii.test(target)) return refusal("target");
  let text = `${method} ${target} HTTP/1.1`;
  let contentLength: string | undefined;
  let coding: string | undefined;
  let expectsContinue = false;
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] as string;
    const { start, lower, underscored } = knownName(fields[i] as string);
    if (start === undefined) return refusal("field name");
    if (!isFieldValue(value)) return refusal("field value");
    text += start + value;
    if (underscored) continue;
    if (lower === "expect") expectsContinue = value.toLowerCase() === "100-continue";
    else if (lower === "content-length") {
      if (contentLength !== undefined) return wrongFraming("several Content-Length fields");
      contentLength = value;
    } else if (lower === "transfer-encoding") {
      if (coding !== undefined) return wrongFraming("several Transfer-Encoding fields");
      coding = value;
    }
  }
  text += "\r\n\r\n";
  const bodyBytes = announcedBytes(request, contentLength, coding);
  return bodyBytes instanceof GatewayError ? bodyBytes : { text, bodyBytes, expectsContinue };
}

/** The number of body bytes that the fields announce, checked against the actual body. */
function announcedBytes(
  request: RequestToSend,
  contentLength: string | undefined,
  coding: string | undefined,
): number | GatewayError {
  const { body } = request;
  if (coding !== undefined) {
    if (contentLength !== undefined) return wrongFraming("both Content-Length and Transfer-Encoding");
    if (body !== "stream" || coding.toLowerCase() !== "chunked")
      return wrongFraming("unfit Transfer-Encoding");
    return CHUNKED;
  }
  if (contentLength === undefined) {
    if (body !== "none") return wrongFraming("a body without length");
    return 0;
  }
  const announced = readContentLength(contentLength);
  if (announced === undefined) return wrongFraming("bad Content-Length");
  if (body === "none" ? announced !== 0 : body !== "stream" && announced !== body.length) {
    return wrongFraming("Content-Length of another body");
  }
  return announced;
}

/** Encodes the end of a chunked body, without trailers that must not come late. @returns or `malformed_request` */
export function encodeLastChunk(trailers: readonly string[]): string | GatewayError {
  let text = "0\r\n";
  const kept = trailers.length === 0 ? trailers : allowedTrailers(trailers);
  for (const [name, value] of pairsOf(kept)) {
    if (!isToken(name) || !isFieldValue(value)) return refusal("trailer");
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}

/** Methods that may be sent twice (RFC 9110 section 9.2.2); unknown methods may not. */
const idempotent = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"]);

export function isIdempotent(method: string): boolean {
  return idempotent.has(method);
}

function refusal(part: string): GatewayError {
  return new GatewayError(
    "malformed_request",
    `The request has a character in its ${part} that is not allowed.`,
  );
}

function wrongFraming(problem: string): GatewayError {
  return new GatewayError("internal_error", "The request could not be forwarded.", {
    cause: new Error(`request framing: ${problem}`),
  });
}

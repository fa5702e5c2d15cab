// Reads what a response head says about its body and its connection (RFC 9112 sections 6.3 and 9.3).
import { readContentLength } from "./content-length.ts";
import { pairsOf } from "../plugin-api/pairs.ts";

/** Where the body ends: there is none, after `length` bytes, after its last chunk, or with the connection. */
export type BodyKind = "none" | "length" | "chunked" | "close";

/** Reused for every head of one connection. */
export class Framing {
  kind: BodyKind = "none";
  /** Bytes of the body where `kind` is `length`. */
  length = 0;
  /** Whether the connection may carry another exchange after this one. */
  keepAlive = false;
  /** `timeout` of the last Keep-Alive field; undefined = the service has sent none. */
  keepAliveSeconds: number | undefined = undefined;
  #keepAliveField = "";

  /**
   * Reads the fields of a head.
   * @param method of the request: a response to HEAD has no body
   * @returns the fault, or undefined
   */
  readFinal(
    method: string,
    status: number,
    minorVersion: number,
    fields: readonly string[],
  ): string | undefined {
    let contentLength: string | undefined;
    let coding: string | undefined;
    let close = false;
    let keep = minorVersion === 1;
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      // Only names of these lengths are worth a comparison.
      const length = name.length;
      if (length !== 10 && length !== 14 && length !== 17) continue;
      const value = fields[i + 1] as string;
      const lower = name.toLowerCase();
      if (lower === "content-length") {
        if (contentLength !== undefined) return "several Content-Length fields";
        contentLength = value;
      } else if (lower === "transfer-encoding") {
        if (coding !== undefined) return "several Transfer-Encoding fields";
        coding = value;
      } else if (lower === "connection") {
        if (hasToken(value, "close")) close = true;
        else if (minorVersion === 0 && hasToken(value, "keep-alive")) keep = true;
      } else if (lower === "keep-alive") this.#readKeepAlive(value);
    }
    this.keepAlive = keep && !close;
    return this.#readLengths(method, status, minorVersion, contentLength, coding);
  }

  #readLengths(
    method: string,
    status: number,
    minorVersion: number,
    contentLength: string | undefined,
    coding: string | undefined,
  ): string | undefined {
    this.length = 0;
    if (coding !== undefined) {
      if (contentLength !== undefined) return "both Content-Length and Transfer-Encoding";
      if (minorVersion === 0) return "Transfer-Encoding in HTTP/1.0";
      if (coding.toLowerCase() !== "chunked") return "Transfer-Encoding other than chunked";
      this.kind = "chunked";
    } else if (contentLength !== undefined) {
      const bytes = readContentLength(contentLength);
      if (bytes === undefined) return "bad Content-Length";
      this.kind = "length";
      this.length = bytes;
    } else this.kind = "close";
    if (method === "HEAD" || status === 204 || status === 304) {
      // A service that announces a body here may well send it, and the next exchange would read it as its answer.
      if (this.kind === "chunked" || this.length > 0) this.keepAlive = false;
      this.kind = "none";
      this.length = 0;
    } else if (this.kind === "close") this.keepAlive = false;
    else if (this.kind === "length" && this.length === 0) this.kind = "none";
    return undefined;
  }

  /** A service sends the same field every time: it is parsed once. */
  #readKeepAlive(value: string): void {
    if (value === this.#keepAliveField) return;
    this.#keepAliveField = value;
    const seconds = /(?:^|[,;\s])timeout\s*=\s*"?(\d{1,9})/i.exec(value)?.[1];
    this.keepAliveSeconds = seconds === undefined ? undefined : Number(seconds);
  }
}

/** @returns the fault of an interim head, or undefined: such a response ends with its fields (RFC 9110 section 15.2) */
export function interimProblem(
  status: number,
  minorVersion: number,
  fields: readonly string[],
): string | undefined {
  if (minorVersion === 0) return "an interim response in HTTP/1.0";
  if (status === 101) return "101 to a request that asked for no upgrade";
  for (const [written] of pairsOf(fields)) {
    const name = written.toLowerCase();
    if (name === "transfer-encoding" || name === "content-length") return `${name} in an interim response`;
  }
  return undefined;
}

function hasToken(value: string, token: string): boolean {
  if (value === token) return true;
  const lower = value.toLowerCase();
  if (lower === token) return true;
  if (!lower.includes(token)) return false;
  return lower.split(",").some((member) => member.trim() === token);
}

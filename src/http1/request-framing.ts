// Reads what a request head says about its body and its connection (RFC 9112 sections 6.3, 9.3 and RFC 9110 section
// 7.8). Faults that leave the framing clear are refused later, in request-head.ts.

/** Where the body ends: there is none, after `length` bytes, or after its last chunk. */
export type RequestBodyKind = "none" | "length" | "chunked";

/** Finds the relevant fields of a request in one pass. Reused for every head of one connection. */
export class RequestFraming {
  kind: RequestBodyKind = "none";
  /** Bytes of the body where `kind` is `length`. */
  length = 0;
  /** Whether the connection may carry another request after this one. */
  keepAlive = false;
  /** The client waits for `100 Continue` before it sends its body. */
  expectsContinue = false;
  /** Value of the Upgrade field in lower case, if Connection names that field. */
  upgrade: string | undefined = undefined;

  /** @returns the fault, or undefined */
  read(httpVersion: string, fields: readonly string[]): string | undefined {
    let contentLength: string | undefined;
    let coding: string | undefined;
    let upgrade: string | undefined;
    let connection: string | undefined;
    this.expectsContinue = false;
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      // Only names of these lengths are worth a comparison.
      const { length } = name;
      if (length !== 6 && length !== 7 && length !== 10 && length !== 14 && length !== 17) continue;
      const value = fields[i + 1] as string;
      const lower = name.toLowerCase();
      if (lower === "expect") {
        if (/\b100-continue\b/i.test(value)) this.expectsContinue = httpVersion !== "1.0";
      } else if (lower === "connection")
        connection = connection === undefined ? value : `${connection},${value}`;
      else if (lower === "content-length") {
        if (contentLength !== undefined) return "several Content-Length fields";
        contentLength = value;
      } else if (lower === "transfer-encoding") coding = coding === undefined ? value : `${coding},${value}`;
      else if (lower === "upgrade") upgrade = upgrade === undefined ? value : `${upgrade},${value}`;
    }
    this.#readConnection(httpVersion, connection, upgrade);
    return this.#readLengths(contentLength, coding);
  }

  #readConnection(httpVersion: string, connection: string | undefined, upgrade: string | undefined): void {
    this.upgrade = undefined;
    const isFirst = httpVersion === "1.0";
    // The value that nearly every request has, if it has the field at all.
    if (connection === undefined || connection === "keep-alive") {
      this.keepAlive = !isFirst || connection !== undefined;
      return;
    }
    const options = connection
      .toLowerCase()
      .split(",")
      .map((option) => option.trim());
    // A client that sends both wants it closed (RFC 9112 section 9.3).
    this.keepAlive = !options.includes("close") && (!isFirst || options.includes("keep-alive"));
    if (upgrade !== undefined && options.includes("upgrade")) this.upgrade = upgrade.toLowerCase();
  }

  #readLengths(contentLength: string | undefined, coding: string | undefined): string | undefined {
    this.kind = "none";
    this.length = 0;
    if (coding !== undefined) {
      if (contentLength !== undefined) return "both Content-Length and Transfer-Encoding";
      // Otherwise nothing says where the body ends.
      if (!/(?:^|,)[ \t]*chunked$/i.test(coding)) return "Transfer-Encoding does not end in chunked";
      this.kind = "chunked";
    } else if (contentLength !== undefined) {
      if (!/^\d+$/.test(contentLength)) return "bad Content-Length";
      this.length = Number(contentLength);
      if (this.length > 0) this.kind = "length";
    }
    return undefined;
  }
}

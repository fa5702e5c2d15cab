// Describes the requests that clients send and the results that they count. wrk and the project's own generator both
// send the same bytes from this description.

export interface Traffic {
  /**
   * closed: every connection sends its next request after the answer; open: requests come at a fixed rate, whatever the
   * answers do.
   */
  readonly kind: "closed" | "open" | "websocket" | "idle";
  readonly connections: number;
  readonly path: string;
  /** With `open`: requests a second. */
  readonly rate?: number;
  /** Every request has a new URL. */
  readonly everyUrlNew?: true;
  /** Paths end in numbers below this one; numbers of consecutive requests are far apart. */
  readonly numberedPaths?: number;
  /** Bearer tokens, taken in turn. */
  readonly tokens?: readonly string[];
  /** POST with a body of this many bytes. */
  readonly bodyBytes?: number;
  /** Sends the body in chunks of 4 KiB. */
  readonly chunked?: true;
  /** Every request opens a connection of its own. */
  readonly newConnections?: true;
}

export interface GeneratorOrder {
  readonly traffic: Traffic;
  readonly port: number;
  readonly seconds: number;
  /** Name of this run, unique. */
  readonly run: string;
}

export interface LoadResult {
  /** Number of good answers. */
  readonly requests: number;
  /** Received bytes, including heads. */
  readonly bytes: number;
  /** Number of answers other than 2xx, and of broken connections. */
  readonly failures: number;
  /** Text of the first failure. */
  readonly failure: string;
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

/** Some fields that browsers send; the origin makes the cors plugin work. */
export const commonFields = {
  Host: "api.example",
  Accept: "application/json",
  "User-Agent": "bench/1.0",
  Origin: "https://app.example",
} as const;
const commonText = Object.entries(commonFields)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join("");
const chunkBytes = 4_096;

/** @returns everything after the request target, one variant per token */
export function requestTails(traffic: Traffic): string[] {
  const { tokens = [], bodyBytes, chunked, newConnections } = traffic;
  const fields = commonText + (newConnections === undefined ? "" : "Connection: close\r\n");
  const framing =
    bodyBytes === undefined
      ? ""
      : chunked === undefined
        ? `Content-Length: ${bodyBytes}\r\n`
        : "Transfer-Encoding: chunked\r\n";
  const rest = `${framing}\r\n${bodyText(traffic)}`;
  if (tokens.length === 0) return [` HTTP/1.1\r\n${fields}${rest}`];
  return tokens.map((token) => ` HTTP/1.1\r\n${fields}Authorization: Bearer ${token}\r\n${rest}`);
}

/**
 * @param run name of the run, unique on this contender
 * @returns everything before the number that makes a URL new, or before the tail
 */
export function requestStart({ path, everyUrlNew, bodyBytes }: Traffic, run: string): string {
  const method = bodyBytes === undefined ? "GET" : "POST";
  return `${method} ${path}${everyUrlNew === undefined ? "" : `?run=${run}&n=`}`;
}

/** Step between numbers: a prime, so that every number comes once before any comes again. */
export const pathStep = 7_919;

/** @returns the text between start and tail of the request with this number */
export function numberOf({ everyUrlNew, numberedPaths }: Traffic, asked: number): string {
  if (numberedPaths !== undefined) return String((asked * pathStep) % numberedPaths);
  return everyUrlNew === undefined ? "" : String(asked);
}

function bodyText({ bodyBytes = 0, chunked }: Traffic): string {
  if (chunked === undefined) return "x".repeat(bodyBytes);
  const chunk = `${chunkBytes.toString(16)}\r\n${"x".repeat(chunkBytes)}\r\n`;
  return `${chunk.repeat(bodyBytes / chunkBytes)}0\r\n\r\n`;
}

// What clients send and what they count: one description, from which wrk and our own generator write the same bytes.

export interface Traffic {
  /** closed: every connection asks anew once it has its answer; open: at a fixed rate, whatever the answers do. */
  readonly kind: "closed" | "open" | "websocket" | "idle";
  readonly connections: number;
  readonly path: string;
  /** open: requests a second. */
  readonly rate?: number;
  /** Every request asks for another URL. */
  readonly everyUrlNew?: true;
  /** Requests ask for the path with the numbers below this behind it, far from each other one after the other. */
  readonly numberedPaths?: number;
  /** Bearer tokens, taken in turn. */
  readonly tokens?: readonly string[];
  /** POST with a body of this many bytes. */
  readonly bodyBytes?: number;
  /** That body is sent in chunks of 4 KiB. */
  readonly chunked?: true;
  /** Every request opens a connection of its own. */
  readonly newConnections?: true;
}

export interface GeneratorOrder {
  readonly traffic: Traffic;
  readonly port: number;
  readonly seconds: number;
  /** Told apart from every other run. */
  readonly run: string;
}

export interface LoadResult {
  /** Good answers. */
  readonly requests: number;
  /** Received, heads included. */
  readonly bytes: number;
  /** Answers that are not 2xx, and connections that broke. */
  readonly failures: number;
  /** The first of them. */
  readonly failure: string;
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

/** A little of what browsers send; the origin makes cors do its work. */
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

/** Everything after the request target, one variant a token. */
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
 * @param run told apart from every other run on the same contender
 * @returns everything before the number that makes a URL new, or before the tail
 */
export function requestStart({ path, everyUrlNew, bodyBytes }: Traffic, run: string): string {
  const method = bodyBytes === undefined ? "GET" : "POST";
  return `${method} ${path}${everyUrlNew === undefined ? "" : `?run=${run}&n=`}`;
}

/** A prime, so that each number comes once before any comes again. */
export const pathStep = 7_919;

/** @returns what stands between start and tail of the request of this number */
export function numberOf({ everyUrlNew, numberedPaths }: Traffic, asked: number): string {
  if (numberedPaths !== undefined) return String((asked * pathStep) % numberedPaths);
  return everyUrlNew === undefined ? "" : String(asked);
}

function bodyText({ bodyBytes = 0, chunked }: Traffic): string {
  if (chunked === undefined) return "x".repeat(bodyBytes);
  const chunk = `${chunkBytes.toString(16)}\r\n${"x".repeat(chunkBytes)}\r\n`;
  return `${chunk.repeat(bodyBytes / chunkBytes)}0\r\n\r\n`;
}

// Reads the same response bytes twice: with this project's parser, in any pieces, and with node:http's own (llhttp).
import { request } from "node:http";
import { duplexPair } from "node:stream";
import { allowedTrailers } from "../../src/http1/trailers.ts";
import { type Progress, ResponseParser } from "../../src/http1/response-parser.ts";

export interface Reading {
  /** `broken`: the bytes ended before the response did. */
  outcome: "complete" | "broken" | "invalid";
  interims: { status: number; fields: readonly string[] }[];
  status: number;
  statusText: string;
  fields: readonly string[];
  body: string;
  trailers: readonly string[];
}

function blank(): Reading {
  return { outcome: "broken", interims: [], status: 0, statusText: "", fields: [], body: "", trailers: [] };
}

/**
 * Reads the pieces as if they came over one connection that ends after them.
 * @param pauseEvery 0 = never, 1 = after each piece of body, 2 = after every second …
 */
export function readByUs(method: string, pieces: readonly Buffer[], pauseEvery = 0): Reading {
  const reading = blank();
  let calls = 0;
  const parser = new ResponseParser({
    onInterim: (status, fields) => void reading.interims.push({ status, fields }),
    onHead: (status, statusText, fields) => void Object.assign(reading, { status, statusText, fields }),
    onBody: (chunk) => {
      calls += 1;
      reading.body += chunk.toString("latin1");
      return pauseEvery === 0 || calls % pauseEvery !== 0;
    },
  });
  parser.begin(method);
  let progress: Progress = "more";
  for (const piece of pieces) {
    progress = parser.feed(piece);
    while (progress === "paused") progress = parser.resume();
    if (progress !== "more") break;
  }
  if (progress === "more") progress = parser.end();
  if (progress === "invalid") reading.outcome = "invalid";
  else if (progress === "complete") {
    reading.outcome = "complete";
    reading.trailers = parser.trailers;
  }
  return reading;
}

export async function readByNode(method: string, bytes: Buffer): Promise<Reading> {
  const reading = blank();
  const [ours, theirs] = duplexPair();
  const outgoing = request({ createConnection: () => ours, method, maxHeaderSize: 1 << 20 });
  await new Promise<void>((resolve) => {
    const refuse = (error: NodeJS.ErrnoException): void => {
      if (error.code?.startsWith("HPE_") === true) reading.outcome = "invalid";
      resolve();
    };
    outgoing.on("information", (info) => {
      reading.interims.push({ status: info.statusCode, fields: info.rawHeaders });
    });
    outgoing.on("upgrade", () => resolve());
    outgoing.on("error", refuse);
    outgoing.on("response", (response) => {
      reading.status = response.statusCode ?? 0;
      reading.statusText = response.statusMessage ?? "";
      reading.fields = response.rawHeaders;
      response.on("data", (chunk: Buffer) => (reading.body += chunk.toString("latin1")));
      response.on("error", refuse);
      response.on("end", () => {
        reading.outcome = "complete";
        reading.trailers = allowedTrailers(response.rawTrailers);
        resolve();
      });
    });
    outgoing.end();
    theirs.on("error", () => {});
    theirs.end(bytes);
  });
  ours.destroy();
  theirs.destroy();
  return reading;
}

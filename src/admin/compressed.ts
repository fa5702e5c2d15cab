// Compresses the admin listener's long answers with gzip if the client accepts it (RFC 9110 section 12.5.3).
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { gzip as gzipCallback } from "node:zlib";
import type { Answer } from "./answer.ts";

const gzip = promisify(gzipCallback);

/** Shorter bodies are not worth compressing. */
const minBytes = 1024;

/** Returns the answer in gzip if the request accepts it, and with Vary in any case. */
export async function compressed({ headers }: IncomingMessage, answer: Answer): Promise<Answer> {
  const varying = { ...answer, fields: { ...answer.fields, Vary: "Accept-Encoding" } };
  if (Buffer.byteLength(answer.body) < minBytes || !takesGzip(headers["accept-encoding"])) return varying;
  const body = await gzip(answer.body, { level: 1 });
  return { ...varying, body, fields: { ...varying.fields, "Content-Encoding": "gzip" } };
}

function takesGzip(accepted: string | string[] | undefined): boolean {
  let others = false;
  for (const member of String(accepted ?? "")
    .toLowerCase()
    .split(",")) {
    const [coding = "", ...parameters] = member.split(";").map((part) => part.trim());
    const refused = parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
    if (coding === "gzip" || coding === "x-gzip") return !refused;
    if (coding === "*") others = !refused;
  }
  return others;
}

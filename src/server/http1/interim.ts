// Writes interim responses (RFC 9110 section 15.2).
import { pairsOf } from "../../plugin-api/pairs.ts";
import type { ServerResponse } from "node:http";

/** Writes nothing to an HTTP/1.0 client. @param fields name, value, … */
export function writeInterim(res: ServerResponse, status: number, fields: readonly string[]): void {
  if (res.req.httpVersionMinor === 0) return;
  if (status === 100) res.writeContinue();
  else if (status === 102) res.writeProcessing();
  else if (status === 103) earlyHints(res, fields);
}

function earlyHints(res: ServerResponse, fields: readonly string[]): void {
  const hints: Record<string, string | string[]> = {};
  for (const [name, value] of pairsOf(fields)) {
    const lower = name.toLowerCase();
    const before = hints[lower];
    hints[lower] = before === undefined ? value : [before, value].flat();
  }
  // node:http needs a Link that it can parse, and throws otherwise: a bad hint must not fail the request.
  try {
    if (hints["link"] !== undefined) res.writeEarlyHints(hints);
  } catch {
    // The hint is left out.
  }
}

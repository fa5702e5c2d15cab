// Makes the answer from a stored response: whole, 304, 206 or 416, with Age, X-Cache and Cache-Status (RFC 9211).
import { type ExchangeResponse, pairsOf, type RespondVerdict } from "../../../src/plugin-api/contract.ts";
import { isNotModified, notModifiedFields } from "../semantics/conditional.ts";
import { bytesOf, sizeOf } from "../store/body-copy.ts";
import type { Entry } from "../store/entry.ts";
import { selectRange } from "../semantics/range.ts";
import type { CacheRequest } from "../semantics/request.ts";
import { ageSeconds } from "../semantics/reuse.ts";

const emptyBody = Buffer.alloc(0);

/**
 * Answers a request from a stored response; obeys its preconditions and its range.
 * @param nowMs epoch ms
 * @param xCache value of X-Cache
 * @param status parameters of Cache-Status after the cache's name: `hit` or `fwd=…`
 */
export function answerFrom(
  entry: Entry,
  seen: CacheRequest,
  nowMs: number,
  xCache: "HIT" | "STALE",
  status: string,
): RespondVerdict {
  if (seen.ifNoneMatch !== undefined || seen.ifModifiedSince !== undefined) {
    if (isNotModified(entry, seen, nowMs)) {
      const fields = notModifiedFields(entry.fields);
      return { action: "respond", status: 304, fields: marked(fields, entry, nowMs, xCache, status) };
    }
  }
  if (seen.range !== undefined) {
    const part = rangeAnswer(entry, seen.range, seen.ifRange);
    if (part !== undefined) return { ...part, fields: marked(part.fields, entry, nowMs, xCache, status) };
  }
  return {
    action: "respond",
    status: entry.status,
    fields: marked(entry.fields.slice(), entry, nowMs, xCache, status),
    body: bytesOf(entry.body),
  };
}

function marked(fields: string[], entry: Entry, nowMs: number, xCache: string, status: string): string[] {
  const ttl = Math.ceil((entry.freshUntil - nowMs) / 1000);
  fields.push(
    "Age",
    String(ageSeconds(entry, nowMs)),
    "X-Cache",
    xCache,
    "Cache-Status",
    `outrigger; ${status}; ttl=${ttl}`,
  );
  return fields;
}

function rangeAnswer(
  entry: Entry,
  range: string,
  ifRange: string | undefined,
): (RespondVerdict & { fields: string[] }) | undefined {
  const selected = selectRange(entry, range, ifRange);
  if (selected === undefined) return undefined;
  const size = sizeOf(entry.body);
  if (selected === "unsatisfiable") {
    return { action: "respond", status: 416, fields: ["Content-Range", `bytes */${size}`], body: emptyBody };
  }
  const { start, end } = selected;
  const fields = [...entry.fields, "Content-Range", `bytes ${start}-${end}/${size}`];
  return { action: "respond", status: 206, fields, body: bytesOf(entry.body).subarray(start, end + 1) };
}

/** Replaces the upstream's status, fields and body with an answer. */
export function replaceResponse(response: ExchangeResponse, answer: RespondVerdict): void {
  response.status = answer.status;
  response.fields.deleteWhere(() => true);
  for (const [name, value] of pairsOf(answer.fields ?? [])) response.fields.append(name, value);
  response.replaceBody(answer.body ?? emptyBody);
}

/** Answers 504: the request said only-if-cached and nothing stored may answer it (RFC 9111 section 5.2.1.7). */
export function notCachedAnswer(requestId: string): RespondVerdict {
  const document = {
    type: "about:blank",
    title: "Gateway Timeout",
    status: 504,
    detail: "The request said only-if-cached and no stored response may answer it.",
    error: "Not cached",
    code: "only_if_cached",
    requestId,
  };
  return {
    action: "respond",
    status: 504,
    fields: [
      "Content-Type",
      "application/problem+json",
      "Cache-Control",
      "no-store",
      "X-Cache",
      "MISS",
      "Cache-Status",
      "outrigger; detail=only-if-cached",
    ],
    body: JSON.stringify(document),
  };
}

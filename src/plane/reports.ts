// Reads sidecars' reports of documents that they found in force but not in the history (src/fleet/direct-report.ts
// writes them). Any sidecar may write there, so a report is not trusted, and the history marks it as one.
import { pairsOf } from "../plugin-api/pairs.ts";
import { z } from "zod";
import { maxDirectReports } from "../fleet/direct-report.ts";
import { replyList, type Script } from "../plugin-api/store.ts";

export interface Report {
  readonly field: string;
  readonly document: string;
  /** `service/instance`, as the sidecar calls itself. */
  readonly reporter: string;
  readonly atMs: number;
}

/** Size limit of a report as JSON. */
const maxValueBytes = 8 * 1024 * 1024;

/**
 * Reads reports. KEYS: direct. ARGV: prefix of their names. @returns a flat list of names and values; "" for a value
 * that is too long. The key is deleted if it is no hash, or holds more than all sidecars together leave there: somebody
 * wants commands to fail.
 */
export const readReports: Script = {
  name: "direct-read",
  lua: `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'hash' or redis.call('HLEN', KEYS[1]) > ${maxDirectReports} then
  redis.call('DEL', KEYS[1])
  return {}
end
local found = {}
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(name, 1, #ARGV[1]) == ARGV[1] then
    local fits = redis.call('HSTRLEN', KEYS[1], name) <= ${maxValueBytes}
    found[#found + 1] = name
    found[#found + 1] = fits and redis.call('HGET', KEYS[1], name) or ''
  end
end
return found`,
};

/** Deletes reports. KEYS: direct. ARGV: their names. */
export const clearReports: Script = {
  name: "direct-clear",
  lua: `for _, name in ipairs(ARGV) do redis.call('HDEL', KEYS[1], name) end
return #ARGV`,
};

const shape = z.object({
  document: z.string(),
  reporter: z.string().max(400),
  atMs: z.number().min(0).max(8.64e15),
});

/** @returns the valid reports, oldest first, and the names of all reports in the reply */
export function parseReports(reply: unknown): { reports: Report[]; fields: string[] } {
  const list = replyList(reply).map(String);
  const reports: Report[] = [];
  const fields: string[] = [];
  for (const [field, value] of pairsOf(list)) {
    fields.push(field);
    const parsed = parse(value);
    if (parsed !== undefined) reports.push({ field, ...parsed });
  }
  reports.sort((a, b) => a.atMs - b.atMs);
  return { reports, fields };
}

function parse(text: string): Omit<Report, "field"> | undefined {
  try {
    return shape.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

// What sidecars say that they found in force and not in the history (src/fleet/direct-report.ts writes it). Any sidecar
// may write there: a report is somebody's word, and is marked as such in the history.
import { pairsOf } from "../plugin-api/pairs.ts";
import { z } from "zod";
import { maxDirectReports } from "../fleet/direct-report.ts";
import { replyList, type Script } from "../plugin-api/store.ts";

export interface Report {
  readonly field: string;
  readonly document: string;
  /** `service/instance`, as it calls itself. */
  readonly reporter: string;
  readonly atMs: number;
}

/** As JSON. */
const maxValueBytes = 8 * 1024 * 1024;

/**
 * KEYS: direct. ARGV: how the names of the reports wanted begin. A flat list of names and values; "" for one that is too
 * long. A key that is no hash, or holds more than all sidecars together leave there, is somebody's who wants commands to
 * fail: it goes.
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

/** KEYS: direct. ARGV: names of reports. */
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

/** @returns what there is to take over, oldest first, and the names of all that were looked at */
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

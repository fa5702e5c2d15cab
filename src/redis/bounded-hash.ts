// Reads a hash that others write, whatever its size. One script measures and reads, so that nothing changes in between,
// and only data within the bounds leaves Redis.
import { type HashBounds, StoreUnavailable } from "../plugin-api/store.ts";
import type { CommandSender } from "./command-sender.ts";

/**
 * KEYS: the hash. ARGV: most fields, most bytes of a field with its value, most bytes of all. Replies field, value, …
 */
const readBounded = `
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return redis.error_reply('TOOLARGE too many fields') end
local reply, bytes = {}, 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local value = ''
  if #field + redis.call('HSTRLEN', KEYS[1], field) <= tonumber(ARGV[2]) then
    value = redis.call('HGET', KEYS[1], field)
  end
  field = string.sub(field, 1, tonumber(ARGV[2]))
  bytes = bytes + #field + #value
  if bytes > tonumber(ARGV[3]) then return redis.error_reply('TOOLARGE too many bytes') end
  reply[#reply + 1] = field
  reply[#reply + 1] = value
end
return reply`;

/** By EVAL_RO: the user has no right to write there. */
export async function readHash(
  sender: CommandSender,
  key: string,
  { maxFields, maxEntryBytes, maxBytes }: HashBounds,
  limitMs: number,
): Promise<readonly string[]> {
  const args = [readBounded, 1, key, maxFields, maxEntryBytes, maxBytes];
  const reply = await sender.send("eval_ro", args, "utf8", limitMs);
  if (!Array.isArray(reply)) throw new StoreUnavailable("eval_ro: an answer of another type");
  return reply.map(String);
}

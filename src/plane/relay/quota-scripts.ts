// Redis scripts of a relay for quotas over regions. `<count>:lease` in a region holds its part of the home region's
// pool; `<count>:lent` in the home region holds the part of each region. Both are absolute numbers with a sequence
// number. The home region's number is never below the region's: it is raised first and lowered last.
import type { Script } from "../../plugin-api/store.ts";

const clock = `
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)`;

const countOf = `
local floor, ceil, max, min, match, format = math.floor, math.ceil, math.max, math.min, string.match, string.format
local function count(key)
  local value = redis.pcall('GET', key)
  local level, since = match(type(value) == 'string' and value or '', '^([%d.e+-]+) ([%d.e+-]+) [%d.e+-]+$')
  return max(0, ceil(tonumber(level) or 0)), tonumber(since) or 0
end`;

/**
 * Reads wants. In the region. KEYS: lists of wants. ARGV: for each key the time from which to read.
 * @returns for each key a list of want, time, …
 */
export const readWants: Script = {
  name: "relay-quota-wants",
  lua: `
local reply = {}
for i, key in ipairs(KEYS) do
  local found = redis.pcall('ZRANGEBYSCORE', key, ARGV[i], '+inf', 'WITHSCORES', 'LIMIT', 0, 2000)
  local list = {}
  for at = 1, found.err and 0 or #found, 2 do
    if #found[at] <= 512 then
      list[#list + 1] = found[at]
      list[#list + 1] = found[at + 1]
    end
  end
  reply[i] = list
end
return reply`,
};

export const dropWants: Script = {
  name: "relay-quota-drop",
  lua: `return redis.call('ZREM', KEYS[1], unpack(ARGV))`,
};

/**
 * In the region. KEYS: count, lease. ARGV: start, end. @returns whether the window is over, permits used in it, lease,
 * time
 */
export const look: Script = {
  name: "relay-quota-look",
  lua: `${countOf}${clock}
local level, since = count(KEYS[1])
local start = tonumber(ARGV[1])
local lease = redis.pcall('GET', KEYS[2])
local isOver = since > start or now >= tonumber(ARGV[2])
return { isOver and 1 or 0, since == start and level or 0, type(lease) == 'string' and lease or '', format('%.0f', now) }`,
};

/**
 * Lends permits. In the home region. KEYS: count, lent. ARGV: region, start, end, seq and permits of the region's lease
 * (-1 = none), more permits, share, pool.
 * @returns seq, permits before, permits now, whether the pool is empty; seq -1 = the window is over here, or begins
 * more than a whole window later, -2 = the value of `lent` cannot be read
 */
export const lend: Script = {
  name: "relay-quota-lend",
  lua: `${countOf}${clock}
local start, ends, seq, held = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local more, share, pool = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local level, since = count(KEYS[1])
if now >= ends or since > start or start - now >= ends - start then return { -1, 0, 0, 0 } end
local text = redis.pcall('GET', KEYS[2])
if text == false then text = '' end
if type(text) ~= 'string' or #text > 16384 then return { -2, 0, 0, 0 } end
local mine, mySeq, others, lines, last = 0, 0, 0, {}, ends
for line in string.gmatch(text, '[^\\n]+') do
  local lineStart, region, lineEnd, lineSeq, permits = match(line, '^(%d+):(%S+) (%d+) (%d+) (%d+)$')
  if not lineStart then return { -2, 0, 0, 0 } end
  if tonumber(lineStart) == start and region == ARGV[1] then mine, mySeq = tonumber(permits), tonumber(lineSeq)
  else
    if tonumber(lineStart) == start then others = others + tonumber(permits) end
    -- Kept for a while, should the clock be set back.
    if now < lineEnd + min(60000, 10 * (lineEnd - lineStart)) then
      lines[#lines + 1] = line
      last = max(last, tonumber(lineEnd))
    end
  end
end
-- A region has what it has, whatever is known of it here; but what was given back since is no longer its own: another relay
-- of it was quicker, or its Redis has forgotten that.
if held > mine and seq < mySeq then return { mySeq, mine, mine, 0 } end
local own = max(mine, held)
local left = pool - (since == start and max(0, level - share) or 0) - others - own
-- Others need some, too; and what was lent and did not arrive is lent already.
if held >= 0 then more = more - max(0, mine - held) end
local given = max(0, min(more, ceil(left / 2)))
local total = own + given
local isEmpty = left - given <= 0 and 1 or 0
if total == mine and (held == mine or held < 0) then return { mySeq, mine, mine, isEmpty } end
mySeq = max(mySeq, seq) + 1
lines[#lines + 1] = format('%.0f:%s %.0f %.0f %.0f', start, ARGV[1], ends, mySeq, total)
redis.call('SET', KEYS[2], table.concat(lines, '\\n'), 'PX', format('%.0f', last - now + 60000))
return { mySeq, mine, total, isEmpty }`,
};

/**
 * Writes a lease. In the region. KEYS: lease. ARGV: expected value, new value, end, latest time for the write: by then
 * nothing can have been lent, given back and lost. @returns 0 = the lease has changed, or it is too late
 */
export const place: Script = {
  name: "relay-quota-place",
  lua: `local floor, min, format = math.floor, math.min, string.format${clock}
local lease = redis.pcall('GET', KEYS[1])
if (type(lease) == 'string' and lease or '') ~= ARGV[1] or now >= min(tonumber(ARGV[3]), tonumber(ARGV[4])) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', format('%.0f', tonumber(ARGV[3]) - now + 60000))
return 1`,
};

/**
 * Gives up the unused part of a lease; the lease is used before the share. In the region. KEYS: count, lease. ARGV:
 * expected value, start.
 * @returns permits that the region keeps; -1 = the lease has changed
 */
export const giveUp: Script = {
  name: "relay-quota-give-up",
  lua: `${countOf}
local lease = redis.pcall('GET', KEYS[2])
if lease ~= ARGV[1] then return -1 end
local start, seq, permits, lost = match(lease, '^(%d+) (%d+) (%d+) (%d+) [01]$')
if not start or start ~= ARGV[2] then return -1 end
local level, since = count(KEYS[1])
local kept = min(tonumber(permits), since == tonumber(start) and level or 0)
redis.call('SET', KEYS[2], format('%s %.0f %.0f %s 0', start, seq + 1, kept, lost), 'KEEPTTL')
return kept`,
};

/**
 * Takes permits back. In the home region. KEYS: lent. ARGV: region, start, seq, permits. @returns number of permits
 * that came back
 */
export const takeBack: Script = {
  name: "relay-quota-take-back",
  lua: `
local text = redis.pcall('GET', KEYS[1])
if type(text) ~= 'string' then return 0 end
local lines, back, changed, max = {}, 0, false, math.max
for line in string.gmatch(text, '[^\\n]+') do
  local key, ends, seq, permits = string.match(line, '^(%S+) (%d+) (%d+) (%d+)$')
  if key == ARGV[2] .. ':' .. ARGV[1] and tonumber(seq) < tonumber(ARGV[3]) then
    back, changed = max(0, permits - ARGV[4]), true
    line = key .. ' ' .. ends .. ' ' .. ARGV[3] .. ' ' .. ARGV[4]
  end
  lines[#lines + 1] = line
end
if changed then redis.call('SET', KEYS[1], table.concat(lines, '\\n'), 'KEEPTTL') end
return back`,
};

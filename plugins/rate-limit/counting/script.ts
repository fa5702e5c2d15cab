// The algorithms as one Lua script. It decides every limit of a request, and every request of a batch, in one step by
// the server's own clock. algorithms.ts has the same arithmetic and the reasons.
import type { Script } from "../../../src/plugin-api/contract.ts";

/**
 * KEYS: for each reservation its key, then its former key if it has one.
 * ARGV: for each request the number of its reservations, then each reservation as `<g|s|f> <capacity> <permits per ms>
 * <window ms, or M> <enforced 1|0> <least> <most> <carry> <has former key 1|0> <floor>`.
 * A reservation takes between `least` and `most` permits. A request whose enforced reservations do not all fit takes
 * nothing.
 * `most` below zero gives permits back that were granted at server time `carry`.
 * Otherwise `carry` permits were used while this server was out of reach; they are counted first, on top of at least
 * `floor`, which this server reported earlier.
 * For a limit over regions ` home|leases <pool>` follows, and one more key after the former one. The capacity is then
 * this region's share, and the key says how much of the pool comes on top. In the home region it holds what is lent, in
 * lines of `<start>:<region> <end> <seq> <permits>`; elsewhere what is leased, as
 * `<start> <seq> <permits> <permits lost> <whether the pool was empty 1|0>`.
 * Answers: server time, then for each reservation permits granted, permits left, wait and reset in milliseconds.
 * A value that the script did not write (wrong type, garbage) counts as none and is overwritten.
 */
export const takeScript: Script = {
  name: "rate-limit-take",
  lua: `
local call, try, format, match = redis.call, redis.pcall, string.format, string.match
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local epsilon = 1e-9
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local nowText = format('%.17g', now)

local function monthStart(ms, plus)
  local days = floor(ms / 86400000) + 719468
  local era = floor(days / 146097)
  local doe = days - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153) + plus
  local year = yoe + era * 400
  if mp > 11 then mp = mp - 12 year = year + 1 end
  era = floor(year / 400)
  yoe = year - era * 400
  doe = yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + floor((153 * mp + 2) / 5)
  return (era * 146097 + doe - 719468) * 86400000
end

local function startOf(c, ms)
  if c.monthly then return monthStart(ms, 0) end
  return floor(ms / c.window) * c.window
end

local function endOf(c, start)
  if c.monthly then return monthStart(start, 1) end
  return start + c.window
end

local function read(key)
  local value = try('GET', key)
  if type(value) ~= 'string' then return 0, 0, 0, false end
  local level, since, before = match(value, '^([%d.e+-]+) ([%d.e+-]+) ([%d.e+-]+)$')
  level, since, before = tonumber(level), tonumber(since), tonumber(before)
  if not level or not since or not before or level < 0 or before < 0 then return 0, 0, 0, false end
  return level, since, before, true
end

local function roll(c, level, since, before)
  if c.algorithm == 'g' then
    if now > since then level = max(0, level - (now - since) * c.perMs) end
    return level, now, before
  end
  local start = startOf(c, now)
  if start > since then
    before = (c.algorithm == 's' and endOf(c, since) == start) and level or 0
    level = 0
  end
  return level, start, before
end

local function free(c)
  local used = c.level
  if c.algorithm == 's' then used = used + c.before * (1 - (now - c.since) / c.window) end
  return c.capacity - used + epsilon
end

local function wait(c, amount, left)
  local missing = amount - left
  if missing <= 0 then return 0 end
  if amount > c.capacity then return c.window end
  if c.algorithm == 'g' then return missing / c.perMs end
  local rest = endOf(c, c.since) - now
  -- A relay may bring more at any moment.
  if c.mayGrow then return min(rest, 1000) end
  if c.algorithm == 'f' then return rest end
  if c.level + amount <= c.capacity then return missing / c.before * c.window end
  return rest + (1 - (c.capacity - amount) / c.level) * c.window
end

local function write(c)
  local ttl
  if c.algorithm == 'g' then ttl = c.perMs > 0 and c.level / c.perMs or 0
  else ttl = endOf(c, c.since) - now + (c.algorithm == 's' and c.window or 0) end
  -- Turning numbers into text is most of the work here: the time is one for all, and gcra has nothing before.
  local since = c.since == now and nowText or format('%.17g', c.since)
  local value = format('%.17g', c.level) .. ' ' .. since .. ' ' .. (c.before == 0 and '0' or format('%.17g', c.before))
  call('SET', c.key, value, 'PX', ceil(ttl) + 1000)
end

-- Few limits make many reservations: each text is taken apart once.
local parsed = {}
local function parse(text)
  local f = {}
  for word in string.gmatch(text, '%S+') do f[#f + 1] = word end
  local spec = { algorithm = f[1], capacity = tonumber(f[2]), perMs = tonumber(f[3]), monthly = f[4] == 'M',
    window = f[4] == 'M' and 2592000000 or tonumber(f[4]), enforced = f[5] == '1', least = tonumber(f[6]),
    most = tonumber(f[7]), carry = tonumber(f[8]), former = f[9] == '1', floor = tonumber(f[10]),
    region = f[11], pool = tonumber(f[12]) }
  parsed[text] = spec
  return spec
end

local function leased(c, key, pool)
  local value = try('GET', key)
  local start, permits, empty = match(type(value) == 'string' and value or '', '^(%d+) %d+ (%d+) %d+ ([01])$')
  if not start or tonumber(start) ~= c.since then start, permits, empty = nil, 0, '0' end
  permits = min(tonumber(permits), pool)
  c.mayGrow = empty == '0' and permits < pool
  return permits
end

-- What cannot be read may be lent.
local function notLent(c, key, pool)
  local value = try('GET', key)
  if value == false then return pool end
  if type(value) ~= 'string' then return 0 end
  local rest = pool
  for line in string.gmatch(value, '[^\\n]+') do
    local start, permits = match(line, '^(%d+):%S+ %d+ %d+ (%d+)$')
    if not start then return 0 end
    if tonumber(start) == c.since then rest = rest - tonumber(permits) end
  end
  return max(0, rest)
end

local keyAt = 1
local function open(text)
  local s = parsed[text] or parse(text)
  local c = { algorithm = s.algorithm, capacity = s.capacity, perMs = s.perMs, monthly = s.monthly,
    window = s.window, enforced = s.enforced, least = s.least, most = s.most, carry = s.carry, key = KEYS[keyAt], granted = 0 }
  keyAt = keyAt + 1
  local level, since, before, known = read(c.key)
  local ahead = since > now
  c.known = known
  c.level, c.since, c.before = roll(c, level, since, before)
  if s.former then
    level, since, before = roll(c, read(KEYS[keyAt]))
    keyAt = keyAt + 1
    -- Asked once: what it says is written down whether or not the request passes.
    c.mend = c.most >= 0 and (level > c.level or before > c.before)
    c.level = max(c.level, level)
    if c.algorithm == 'g' then c.level = min(c.capacity, c.level) end
    c.before = max(c.before, before)
  end
  if s.region then
    c.capacity = c.capacity + (s.region == 'home' and notLent or leased)(c, KEYS[keyAt], s.pool)
    keyAt = keyAt + 1
  end
  -- What was known before may have been lost; a sliding window's former bucket is in the floor as well.
  if c.most >= 0 and s.floor > c.level and not (known and c.algorithm == 's') then
    c.level = min(c.capacity, s.floor)
    c.mend = true
  end
  -- Over the capacity too: whoever is back first may have taken what others have yet to tell of.
  if c.most >= 0 and c.carry > 0 then c.level = min(2 * c.capacity, c.level + c.carry) end
  c.mend = c.mend or ahead or (c.most >= 0 and c.carry > 0)
  return c
end

local function giveBack(c)
  if not c.known then return end
  local amount = -c.most
  if c.algorithm == 'g' then amount = amount - max(0, now - c.carry) * c.perMs
  elseif startOf(c, c.carry) ~= c.since then return end
  if amount <= 0 then return end
  c.level = max(0, c.level - amount)
  write(c)
end

local reply = { format('%.0f', floor(now)) }
local at, size = 1, 1
while at <= #ARGV do
  local reservations, fits = {}, true
  for i = 1, tonumber(ARGV[at]) do
    local c = open(ARGV[at + i])
    reservations[i] = c
    if c.most < 0 then giveBack(c)
    else
      c.free = free(c)
      if c.enforced and c.free < c.least then fits = false end
    end
  end
  at = at + #reservations + 1
  for _, c in ipairs(reservations) do
    if fits and c.most >= 0 and c.free >= c.least then
      c.granted = min(c.most, max(c.least, floor(c.free / 2)))
      c.level = c.level + c.granted
      write(c)
    elseif c.mend then write(c) end
    local left = free(c)
    local nextOne = floor(left) + 1
    reply[size + 1] = c.granted
    reply[size + 2] = max(0, floor(left))
    reply[size + 3] = ceil(wait(c, max(1, c.least), left))
    reply[size + 4] = nextOne > c.capacity and 0 or ceil(wait(c, nextOne, left))
    size = size + 4
  end
end
return reply
`,
};

// The algorithms as one Lua script: every limit of a request, and every request of a batch, decided in one step by
// the server's own clock. algorithms.ts holds the same arithmetic and the reasons.
import type { Script } from "../../src/pipeline/contract.ts";

/**
 * KEYS: for each claim its key, and its former key where the claim says so.
 * ARGV: for each request the number of its claims, then each claim as `<g|s|f> <capacity> <permits per ms>
 * <window ms, or M> <hard 1|0> <least> <most> <carry> <has former key 1|0>`. A claim takes between `least` and `most` permits;
 * `most` below zero gives permits back that were granted at server time `carry`; otherwise `carry` permits were used
 * while this server was out of reach and are counted first. A request whose hard claims do not all fit takes nothing.
 * Answers: server time, then for each claim permits granted, permits left, wait and reset in milliseconds.
 * A value that is not ours (wrong type, garbage) counts as none and is overwritten.
 */
export const takeScript: Script = {
  name: "rate-limit-take",
  lua: `
local epsilon = 1e-9
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000

local function monthStart(ms, plus)
  local days = math.floor(ms / 86400000) + 719468
  local era = math.floor(days / 146097)
  local doe = days - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153) + plus
  local year = yoe + era * 400
  if mp > 11 then mp = mp - 12 year = year + 1 end
  era = math.floor(year / 400)
  yoe = year - era * 400
  doe = yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + math.floor((153 * mp + 2) / 5)
  return (era * 146097 + doe - 719468) * 86400000
end

local function startOf(c, ms)
  if c.monthly then return monthStart(ms, 0) end
  return math.floor(ms / c.window) * c.window
end

local function endOf(c, start)
  if c.monthly then return monthStart(start, 1) end
  return start + c.window
end

local function read(key)
  local value = redis.pcall('GET', key)
  if type(value) ~= 'string' then return 0, 0, 0, false end
  local level, since, before = string.match(value, '^([%d.e+-]+) ([%d.e+-]+) ([%d.e+-]+)$')
  level, since, before = tonumber(level), tonumber(since), tonumber(before)
  if not level or not since or not before or level < 0 or before < 0 then return 0, 0, 0, false end
  return level, since, before, true
end

local function roll(c, level, since, before)
  if c.algorithm == 'g' then
    if now > since then level = math.max(0, level - (now - since) * c.perMs) end
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

local function wait(c, amount)
  local missing = amount - free(c)
  if missing <= 0 then return 0 end
  if amount > c.capacity then return c.window end
  if c.algorithm == 'g' then return missing / c.perMs end
  local left = endOf(c, c.since) - now
  if c.algorithm == 'f' then return left end
  if c.level + amount <= c.capacity then return missing / c.before * c.window end
  return left + (1 - (c.capacity - amount) / c.level) * c.window
end

local function write(c)
  local ttl
  if c.algorithm == 'g' then ttl = c.perMs > 0 and c.level / c.perMs or 0
  else ttl = endOf(c, c.since) - now + (c.algorithm == 's' and c.window or 0) end
  local value = string.format('%.17g %.17g %.17g', c.level, c.since, c.before)
  redis.call('SET', c.key, value, 'PX', string.format('%.0f', math.ceil(ttl) + 1000))
end

local keyAt = 1
local function open(text)
  local f = {}
  for word in string.gmatch(text, '%S+') do f[#f + 1] = word end
  local c = { algorithm = f[1], capacity = tonumber(f[2]), perMs = tonumber(f[3]),
    monthly = f[4] == 'M', window = f[4] == 'M' and 2592000000 or tonumber(f[4]), hard = f[5] == '1',
    least = tonumber(f[6]), most = tonumber(f[7]), carry = tonumber(f[8]), key = KEYS[keyAt], granted = 0 }
  keyAt = keyAt + 1
  local level, since, before, known = read(c.key)
  local ahead = since > now
  c.known = known
  c.level, c.since, c.before = roll(c, level, since, before)
  if f[9] == '1' then
    level, since, before = roll(c, read(KEYS[keyAt]))
    keyAt = keyAt + 1
    c.level = math.max(c.level, level)
    if c.algorithm == 'g' then c.level = math.min(c.capacity, c.level) end
    c.before = math.max(c.before, before)
  end
  if c.most >= 0 and c.carry > 0 then c.level = math.min(c.capacity, c.level + c.carry) end
  c.mend = ahead or (c.most >= 0 and c.carry > 0)
  return c
end

local function giveBack(c)
  if not c.known then return end
  local amount = -c.most
  if c.algorithm == 'g' then amount = amount - math.max(0, now - c.carry) * c.perMs
  elseif startOf(c, c.carry) ~= c.since then return end
  if amount <= 0 then return end
  c.level = math.max(0, c.level - amount)
  write(c)
end

local reply = { string.format('%.0f', math.floor(now)) }
local at = 1
while at <= #ARGV do
  local claims, fits = {}, true
  for i = 1, tonumber(ARGV[at]) do
    local c = open(ARGV[at + i])
    claims[i] = c
    if c.most < 0 then giveBack(c)
    else
      c.free = free(c)
      if c.hard and c.free < c.least then fits = false end
    end
  end
  at = at + #claims + 1
  for _, c in ipairs(claims) do
    if fits and c.most >= 0 and c.free >= c.least then
      c.granted = math.min(c.most, math.max(c.least, math.floor(c.free / 2)))
      c.level = c.level + c.granted
      write(c)
    elseif c.mend then write(c) end
    local left = free(c)
    local nextOne = math.floor(left) + 1
    reply[#reply + 1] = c.granted
    reply[#reply + 1] = math.max(0, math.floor(left))
    reply[#reply + 1] = math.ceil(wait(c, math.max(1, c.least)))
    reply[#reply + 1] = nextOne > c.capacity and 0 or math.ceil(wait(c, nextOne))
  end
end
return reply
`,
};

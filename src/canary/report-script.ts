// The script that decides how a canary goes on. Every sidecar that the canary concerns runs it at its own pace with its
// new counts. Only Redis' clock is used, so sidecars' clocks do not matter. The counts are not verified: a compromised
// sidecar can end a canary or let it pass, but can put nothing in force that no operator ordered.
import type { Script } from "../plugin-api/store.ts";
import {
  figurePlaces,
  figuresLength,
  firstTime,
  firstTimeMs,
  refusedName,
  stepsPerDoubling,
} from "./figures.ts";

/** Most sidecars whose last report is kept. */
export const maxReporters = 20_000;
/** How long the state of an ended canary is kept. */
export const keptMs = 7 * 86_400_000;
/** Above this number of sidecars, each reports more rarely, in proportion. */
export const fullRateUpTo = 500;

/** Size limit of a field of the state: the figures of a service are the longest. */
const maxFieldBytes = 65_536;
/** Limit of a count in one report. */
const maxCount = 1e12;

/** Sidecars' places are whole numbers below this one; Redis' JSON keeps all their digits. */
export const places = 1e12;

/** Report intervals after which all live sidecars have reported, if no new one came meanwhile. */
const censusAfter = 3;

/** Fewer bad requests may be bad luck. */
const minBad = 2;
/** Fewest requests by which times are judged before the end of a step. */
const timesEarly = 200;
/** A smaller difference in ms may come from the machine. */
const minMs = 2;

const guards = `
local function quantile(sum, share)
  local places, all = {}, 0
  for place, count in pairs(sum) do
    local at = tonumber(place)
    if at >= ${firstTime} then places[#places + 1] = at; all = all + count end
  end
  table.sort(places)
  local wanted, before = all * share, 0
  for _, at in ipairs(places) do
    local count = sum[tostring(at)]
    if before + count >= wanted then
      local step = at - ${firstTime} + (wanted - before) / count
      return ${firstTimeMs} * 2 ^ (step / ${stepsPerDoubling})
    end
    before = before + count
  end
  return nil
end
local parts = {
  errors = { ${figurePlaces.sidecarErrors}, ${figurePlaces.serviceErrors} },
  ['sidecar-errors'] = { ${figurePlaces.sidecarErrors} }, ['service-errors'] = { ${figurePlaces.serviceErrors} },
  denied = { ${figurePlaces[401]}, ${figurePlaces[403]}, ${figurePlaces[429]} },
  refused = { ${refusedName} }, ['401'] = { ${figurePlaces[401]} }, ['403'] = { ${figurePlaces[403]} }, ['429'] = { ${figurePlaces[429]} } }
local function requests(sum) return sum['${figurePlaces.requests}'] or 0 end
local function bad(sum, figure)
  local found = 0
  for _, place in ipairs(parts[figure]) do found = found + (sum[tostring(place)] or 0) end
  return found
end
local function percent(share) return string.format('%.2f %%', share * 100) end
-- What breaks a guard; before the end of a step only what is no bad luck (two standard deviations).
local function breach(guard, c, b, early)
  local n, m = requests(c), requests(b)
  local relative = guard.unit == 'times'
  if n == 0 or (relative and m < plan.minRequests) then return nil, relative end
  if guard.figure == 'p50' or guard.figure == 'p99' then
    if early and (n < ${timesEarly} or (relative and m < ${timesEarly})) then return nil end
    local share = guard.figure == 'p50' and 0.5 or 0.99
    local own, other = quantile(c, share), quantile(b, share)
    if not own or (relative and not other) then return nil end
    local most = relative and guard.below * other or guard.below
    if own < most or (relative and own - other < ${minMs}) then return nil end
    return string.format('%s %.1f ms, allowed %.1f ms', guard.figure, own, most)
  end
  local found = bad(c, guard.figure)
  local most = relative and guard.below * math.max(1, bad(b, guard.figure)) / m or guard.below
  if found < ${minBad} then return nil end
  local counted = early and found - 2 * math.sqrt(found) or found
  if counted < most * n then return nil end
  return guard.figure .. ' ' .. percent(found / n) .. ', allowed ' .. percent(most) ..
    string.format(' (%d of %d requests)', found, n)
end`;

/**
 * Counts the sidecars from time to time, finds silent ones, and draws the cut: sidecars up to this place try the
 * candidate. The cut is drawn by the share of the present sidecars, so that even of two sidecars one tries it and one
 * does not. It follows those that come and go: the share is what was ordered, rounded to whole sidecars, and never more.
 */
const census = `
local isDrawn = false
local function census(at, startedAt)
  local candidates, places, silent = 0, {}, nil
  local all = redis.call('HGETALL', key)
  local quiet = tonumber(field('quietFrom')) or 0
  local limit = plan.silentMs * rarer
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'i:' then
      if #all[i + 1] > ${maxFieldBytes} then error('a field of the canary is too long') end
      local who, rec = string.sub(all[i], 3), cjson.decode(all[i + 1])
      if rec.at > at then
        rec.at = at
        redis.call('HSET', key, all[i], cjson.encode(rec))
      end
      local age = at - math.max(rec.at, quiet)
      if age > limit then
        if rec.side == 'c' then silent = who .. string.format(' for %d s', math.floor(age / 1000)) end
        redis.call('HDEL', key, all[i])
      else
        places[#places + 1] = rec.place
        if rec.side == 'c' then candidates = candidates + 1 end
      end
    end
  end
  redis.call('HSET', key, 'count', #places, 'candidates', candidates, 'censusAt', string.format('%.0f', at))
  local percent = plan.steps[tonumber(field('step'))]
  local had, newAt = tonumber(field('cut')) or -1, tonumber(field('newAt')) or startedAt
  local settling = had < 0 and at - newAt < ${censusAfter} * plan.everyMs * rarer and at - startedAt < plan.silentMs
  if #places > 0 and at - startedAt >= ${censusAfter} * plan.everyMs and not settling then
    table.sort(places)
    local wanted = math.max(1, math.floor(#places * percent / 100 + 0.5))
    if percent < 100 and #places > 1 then wanted = math.min(wanted, #places - 1) end
    local cut = percent < 100 and places[wanted] or ${places}
    if cut ~= had then redis.call('HSET', key, 'cut', string.format('%.0f', cut)) end
  end
  isDrawn = true
  return silent
end`;

/**
 * KEYS: state. ARGV: id, `service/instance`, service, id of the process's start, side ("c" = has the candidate, for all
 * or some callers), place, number of the report, counts as JSON `{ c, b }`, why it cannot have the candidate, whether
 * the document under the candidate has changed ("1"), whether the sidecar leaves ("1"), channel on which the end is
 * announced. If the user's Redis rights forbid the announcement, sidecars learn of the end by their next report.
 * Answers JSON; `state` is "none" if the state is missing or another canary's.
 */
export const reportCanary: Script = {
  name: "canary-report",
  lua: `
local key = KEYS[1]
-- Every sidecar may write anything there: what is longer than the script makes it costs nobody more than its length.
local function field(name)
  local text = redis.call('HGET', key, name)
  if text and #text > ${maxFieldBytes} then error('a field of the canary is too long') end
  return text
end
if field('id') ~= ARGV[1] then return '{"state":"none"}' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- Another Redis took over, whose clock is behind: time goes on from there.
if (tonumber(field('lastAt')) or 0) > now then
  for _, name in ipairs({ 'startedAt', 'stepAt', 'newAt', 'censusAt', 'quietFrom', 'lastAt' }) do
    if (tonumber(field(name)) or 0) > now then redis.call('HSET', key, name, string.format('%.0f', now)) end
  end
end
local plan = cjson.decode(field('plan'))
local step, stepAt, startedAt = tonumber(field('step')), tonumber(field('stepAt')), tonumber(field('startedAt'))
local lacks, isCounted = false, true
local function answer()
  return cjson.encode({ lacks = lacks, state = field('state'), step = tonumber(field('step')), stepAt = tonumber(field('stepAt')), now = now,
    count = tonumber(field('count')) or 1, candidates = tonumber(field('candidates')) or 0, cut = isCounted and tonumber(field('cut')) or -1,
    settled = field('settled') == '1', why = field('why') or '', endedAt = tonumber(field('endedAt')) or 0 })
end
if field('state') ~= 'running' then return answer() end
local function finish(state, why)
  redis.call('HSET', key, 'state', state, 'why', string.sub(why, 1, 500), 'endedAt', string.format('%.0f', now))
  local names = redis.call('HKEYS', key)
  for _, name in ipairs(names) do if string.sub(name, 1, 2) == 'i:' then redis.call('HDEL', key, name) end end
  if state ~= 'promoted' then redis.call('PEXPIRE', key, ${keptMs}) end
  redis.pcall('PUBLISH', ARGV[12], ARGV[1])
  return answer()
end
local rarer = math.max(1, (tonumber(field('count')) or 0) / ${fullRateUpTo})
${guards}
${census}
local who, service, side = ARGV[2], ARGV[3], ARGV[5]
if ARGV[11] == '1' then
  redis.call('HDEL', key, 'i:' .. who)
  return answer()
end
if ARGV[9] ~= '' then return finish('withdrawn', who .. ' cannot have it in force: ' .. ARGV[9]) end
if ARGV[10] == '1' then return finish('withdrawn', 'the policy was changed under it: that one is in force') end
-- Redis was away, and nobody could report: nobody counts as silent for that.
local last = tonumber(field('lastAt')) or now
if now - last > math.max(plan.silentMs / 2, 2 * plan.everyMs) then redis.call('HSET', key, 'quietFrom', string.format('%.0f', now)) end
redis.call('HSET', key, 'lastAt', string.format('%.0f', now))
local text = field('i:' .. who)
if not text and redis.call('HLEN', key) > ${maxReporters} then return answer() end
if not text then redis.call('HSET', key, 'newAt', string.format('%.0f', now)) end
local rec = text and cjson.decode(text) or { seq = -1, boot = ARGV[4], starts = 0, step = step, since = now }
if rec.step ~= step then rec.starts = 0 end
if rec.boot ~= ARGV[4] then
  rec.seq = -1
  if rec.side == 'c' then rec.starts = rec.starts + 1 end
end
if rec.starts >= 2 then return finish('withdrawn', who .. ' started anew twice while it had it in force') end
local seq = tonumber(ARGV[7])
if seq > rec.seq then
  for which, counts in pairs(cjson.decode(ARGV[8])) do
    local name = 's:' .. which .. ':' .. service
    local sum = cjson.decode(field(name) or '{}')
    for place, count in pairs(counts) do
      local at = tonumber(place)
      if not at or at < ${refusedName} or at >= ${figuresLength} or not (count >= 0 and count < ${maxCount}) then
        return redis.error_reply('ERR counts that no sidecar counts')
      end
      sum[place] = (sum[place] or 0) + count
    end
    redis.call('HSET', key, name, cjson.encode(sum))
  end
end
redis.call('HSET', key, 'i:' .. who, cjson.encode({ seq = seq, boot = ARGV[4], at = now, side = side, place = tonumber(ARGV[6]),
  starts = rec.starts, step = step, since = rec.since and math.min(rec.since, now) }))
local ownC, ownB = cjson.decode(field('s:c:' .. service) or '{}'), cjson.decode(field('s:b:' .. service) or '{}')
for _, guard in ipairs(plan.guards) do
  local early, lacking = breach(guard, ownC, ownB, true)
  lacks = lacks or lacking == true
  if early then return finish('withdrawn', service .. ': ' .. early) end
end
if now - (tonumber(field('censusAt')) or 0) >= plan.everyMs * rarer then
  local silent = census(now, startedAt)
  if silent then return finish('withdrawn', 'no figures any more from ' .. silent) end
end
-- Newcomers try it once the cut has been drawn with them. Scripts of older versions write no time.
isCounted = isDrawn or not rec.since or math.min(rec.since, now) < (tonumber(field('censusAt')) or 0)
if now - stepAt < plan.forMs then return answer() end
-- The end of a step: every service by itself, since services differ more than policies do.
local total, compared, wanted = 0, 0, false
for _, name in ipairs(redis.call('HKEYS', key)) do
  local of = string.match(name, '^s:c:(.*)$')
  if of then
    local c, b = cjson.decode(field(name)), cjson.decode(field('s:b:' .. of) or '{}')
    total = total + requests(c)
    for _, guard in ipairs(plan.guards) do
      local found, lacking = breach(guard, c, b, false)
      if found then return finish('withdrawn', of .. ': ' .. found) end
      if guard.unit == 'times' then
        wanted = true
        if not lacking then compared = compared + 1 end
      end
    end
  end
end
if total < plan.minRequests then
  return finish('withdrawn', string.format('too few requests came to judge: %d of %d', total, plan.minRequests))
end
if wanted and compared == 0 then
  return finish('withdrawn', 'too few requests came to the policy before to compare with')
end
if step >= #plan.steps then return finish('promoted', 'each step was passed') end
redis.call('HSET', key, 'step', step + 1, 'stepAt', string.format('%.0f', now))
for _, name in ipairs(redis.call('HKEYS', key)) do
  if string.sub(name, 1, 4) == 's:c:' then redis.call('HDEL', key, name) end
end
return answer()`,
};

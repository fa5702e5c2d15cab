// The Lua scripts by which canaries are ordered, ended and written into the history. Each writes all or nothing.
import { keptMs } from "../canary/report-script.ts";
import type { Script } from "../plugin-api/store.ts";

export const maxEntries = 200;
const orderStaysMs = 60_000;
const now =
  "local t = redis.call('TIME') local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))";

/**
 * Starts a canary. KEYS: order, state, history. ARGV: order with its document, id, plan, entry without its time. The
 * history is written with `pcall`: an error (its key may hold another type) must not leave the start half done, since
 * what a script has written before it fails stays.
 * @returns "ok", or "busy": another canary runs, or one was promoted and its policy is not written yet
 */
export const begin: Script = {
  name: "canary-begin",
  lua: `
local state, settled = unpack(redis.call('HMGET', KEYS[2], 'state', 'settled'))
local open = state == 'running' or (state == 'promoted' and not settled)
if open and redis.call('EXISTS', KEYS[1]) == 1 then return 'busy' end
${now}
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'id', ARGV[2], 'state', 'running', 'step', 1, 'stepAt', now, 'startedAt', now, 'plan', ARGV[3])
redis.pcall('LPUSH', KEYS[3], '{"atMs":' .. now .. ',' .. string.sub(ARGV[4], 2))
redis.pcall('LTRIM', KEYS[3], 0, ${maxEntries - 1})
redis.call('PUBLISH', KEYS[1], ARGV[2])
return 'ok'`,
};
/** Ends a canary. KEYS: order, state. ARGV: id, state, why. @returns the state after the call; "" = no such canary */
export const end: Script = {
  name: "canary-end",
  lua: `
if redis.call('HGET', KEYS[2], 'id') ~= ARGV[1] then return '' end
local state = redis.call('HGET', KEYS[2], 'state')
if state ~= 'running' then return state end
${now}
redis.call('HSET', KEYS[2], 'state', ARGV[2], 'why', ARGV[3], 'endedAt', now)
redis.call('PUBLISH', KEYS[1], ARGV[1])
return ARGV[2]`,
};
/**
 * Ends a canary that has had no reports for ARGV[2] ms. KEYS: order, state. ARGV: id, ms. Anyone who looks may run
 * this: by then the sidecars have gone back to the old policy.
 * @returns 1 = it was ended
 */
export const endUnheard: Script = {
  name: "canary-end-unheard",
  lua: `
local id, state, startedAt, lastAt = unpack(redis.call('HMGET', KEYS[2], 'id', 'state', 'startedAt', 'lastAt'))
if id ~= ARGV[1] or state ~= 'running' then return 0 end
${now}
if now - (lastAt or startedAt) <= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], 'state', 'withdrawn', 'why', 'no figures came from any sidecar', 'endedAt', now)
redis.call('PUBLISH', KEYS[1], id)
return 1`,
};
/** Deletes a settled order. KEYS: order, state. Sidecars on a promoted candidate then take the changed policy. */
export const forget: Script = {
  name: "canary-forget",
  lua: `
if redis.call('HGET', KEYS[2], 'settled') and redis.call('DEL', KEYS[1]) == 1 then redis.call('PUBLISH', KEYS[1], '') end
return 0`,
};
/**
 * Writes the end of a canary into the history, once. KEYS: order, state, history. ARGV: id, entry. The order stays for
 * a while, until every sidecar has the policy that came of it.
 */
export const settleEnded: Script = {
  name: "canary-settle",
  lua: `
local id, state, settled = unpack(redis.call('HMGET', KEYS[2], 'id', 'state', 'settled'))
if id ~= ARGV[1] or state == 'running' or settled then return 0 end
redis.call('HSET', KEYS[2], 'settled', 1)
redis.pcall('LPUSH', KEYS[3], ARGV[2])
redis.pcall('LTRIM', KEYS[3], 0, ${maxEntries - 1})
redis.call('PEXPIRE', KEYS[1], ${orderStaysMs})
redis.call('PEXPIRE', KEYS[2], ${keptMs})
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1`,
};
/**
 * Reads fields of the state. KEYS: state. ARGV: field names. Every sidecar may write there, so it reads only these
 * fields, and none longer than 4096 bytes.
 */
export const readState: Script = {
  name: "canary-state",
  lua: `
local found = {}
for _, name in ipairs(ARGV) do
  if redis.call('HSTRLEN', KEYS[1], name) <= 4096 then
    local value = redis.call('HGET', KEYS[1], name)
    if value then
      found[#found + 1] = name
      found[#found + 1] = value
    end
  end
end
return found`,
};
export const readEntries: Script = {
  name: "canary-history",
  lua: "return redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)",
};

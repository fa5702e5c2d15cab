// The scripts by which a sidecar writes its heartbeat, is counted and leaves (src/fleet/heartbeat.ts).
import type { Script } from "../plugin-api/store.ts";

/** Redis' clock: `apply --wait` compares these times with the time at which the policy was written. */
const now = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)";

/** The end of a heartbeat: the members `seenAt` and `boot`, which the scripts add as the last ones. */
const endBytes = 256;
/** Older Redis rights may forbid this; then nobody else is seen. */
const endLua = `
local before = redis.pcall('GETRANGE', KEYS[1], -${endBytes}, -1)
if type(before) ~= 'string' then before = '' end`;
/**
 * ARGV of all three scripts: the value without its last brace, ms since the policy is in force, ms since one was
 * refused, expiry, instance, how long silent ones are kept, boot id.
 */
const tellLua = `${endLua}
local function ago(ms) return ms == '' and 'null' or string.format('%.0f', now - tonumber(ms)) end
redis.call('SET', KEYS[1], ARGV[1] .. ',"inForceAt":' .. ago(ARGV[2]) .. ',"refusedAt":' .. ago(ARGV[3]) ..
  ',"seenAt":' .. ago('0') .. ',"boot":"' .. ARGV[7] .. '"}', 'PX', ARGV[4])`;
/** Counts the live sidecars of the service; `isNew` is 1 if this one was not listed before. */
const countLua = `
local members = KEYS[#KEYS]
redis.call('ZREMRANGEBYSCORE', members, '-inf', now - ARGV[6])
local isNew = redis.call('ZADD', members, now, ARGV[5])
redis.call('PEXPIRE', members, ARGV[6])
local live = redis.call('ZCOUNT', members, '(' .. string.format('%.0f', now - ARGV[4]), '+inf')`;

/** @returns live sidecars, whether this one is new, the time, the end of the heartbeat before */
export const beatOnce: Script = {
  name: "fleet-beat",
  lua: `${now}${tellLua}${countLua}\nreturn { live, isNew, now, before }`,
};
/** In a Cluster the two keys are in different slots, so there are two scripts. @returns the last two of `beatOnce` */
export const tell: Script = { name: "fleet-tell", lua: `${now}${tellLua}\nreturn { now, before }` };
/** @returns the first two of `beatOnce` */
export const count: Script = { name: "fleet-count", lua: `${now}${countLua}\nreturn { live, isNew }` };
export const index: Script = {
  name: "fleet-index",
  lua: `${now}
return redis.call('ZADD', KEYS[1], now, ARGV[1])`,
};
/** ARGV: `service/instance`, ms for which it counts. @returns number of sidecars of all services */
export const enroll: Script = {
  name: "fleet-enroll",
  lua: `${now}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
return redis.call('ZCOUNT', KEYS[1], '-inf', '+inf')`,
};
/**
 * Removes this sidecar's heartbeat, not that of another one with its name. ARGV: boot id, as the value ends with it.
 * @returns 1 = no other one has it
 */
export const withdraw: Script = {
  name: "fleet-withdraw",
  lua: `${endLua}
if before ~= '' and string.sub(before, -#ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return 1`,
};
export const leave: Script = { name: "fleet-leave", lua: "return redis.call('ZREM', KEYS[1], ARGV[1])" };

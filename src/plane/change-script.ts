// The script that writes a policy document and its history. It writes all or nothing, on a single server and in a
// Cluster (document-keys.ts says how), and is atomic against every other client, also against a plain SET.
import type { Script } from "../plugin-api/store.ts";

/** Limits of a document's history: revisions, and bytes of their documents. The latest revision is always kept. */
export const maxRevisions = 200;
export const maxHistoryBytes = 64 * 1024 * 1024;
/** A longer document from a plain SET gets its line in the history, but its text is not kept. */
export const maxDirectBytes = 4 * 1024 * 1024;
/** Most entries that only sidecars have reported, and their size limit: no sidecar can push out operators' entries. */
const maxReported = 32;
export const maxReportBytes = 1024 * 1024;

/**
 * KEYS: document, history, epoch, applied.
 * ARGV: action, base, mark, document, kind, digest, author, reason, id, reporter, deleted, most revisions, most bytes,
 * epoch of the document's signature ("" or "0" = none).
 * For `relay` also KEYS: relayed. ARGV: required SHA-1 of the document, required value of `relayed`, least revision,
 * new value of `relayed`.
 *
 * `write`: sets the document. The last revision must be `base`, and the document must still be that revision's.
 * `direct`: adds the current document (SHA-1: `mark`) to the history, unless it is the last revision already.
 * `report`: adds a document that a sidecar found earlier to the history. The document and its last revision stay as
 * they are, so that a sidecar's report never conflicts with an operator's change. If `mark` is "", the script computes
 * it.
 * `relay`: sets the document of another region, with that region's number if it is higher than the last one here.
 *
 * SHA-1 is the only digest in Redis' Lua. Someone who makes two documents with one SHA-1, and may SET both, can hide a
 * line of the history, but nothing else.
 *
 * Answers "ok", revision, epoch ms · "conflict", summary of the last revision · "unrecorded" (a plain SET came first) ·
 * "stale", summary of the last revision (an epoch as high has been written) · "moved" (the document or `relayed` has
 * changed) · "known" (the history has it already).
 */
export const changeDocument: Script = {
  name: "policy-change",
  lua: `
local act, base, mark, text = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
-- Redis takes back nothing of a script that it refuses halfway. Servers without this function are not asked.
local wanted = {
  { 'set', KEYS[4], '' }, { 'xadd', KEYS[2], '*', 'a', '' }, { 'xtrim', KEYS[2], 'MAXLEN', '=', '1' },
  { 'xlen', KEYS[2] }, { 'xrange', KEYS[2], '-', '+' }, { 'xrevrange', KEYS[2], '+', '-' },
}
if act == 'report' then wanted[#wanted + 1] = { 'xdel', KEYS[2], '0-1' } end
if (act == 'write' or act == 'relay') and ARGV[11] == '1' then wanted[#wanted + 1] = { 'del', KEYS[1] } end
for _, command in ipairs(redis.acl_check_cmd and wanted or {}) do
  if not redis.acl_check_cmd(unpack(command)) then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. command[1] .. "' command")
  end
end
local function fields(entry)
  local found = {}
  for i = 1, #entry[2], 2 do found[entry[2][i]] = entry[2][i + 1] end
  return found
end
local function last()
  local short = redis.call('GET', KEYS[4])
  if short then return cjson.decode(short) end
  local found
  for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ${maxReported} + 1)) do
    found = fields(entry)
    if (found.reporter or '') == '' then break end
    found = nil
  end
  if not found then return { revision = 0, mark = '' } end
  local head = { revision = tonumber(found.revision), mark = found.mark, digest = found.digest, author = found.author,
    reason = found.reason, at = tonumber(found.at), kind = found.kind, id = found.id,
    signedEpoch = tonumber(found.highest) or 0 }
  redis.call('SET', KEYS[4], cjson.encode(head))
  return head
end
local head = last()
local signed = tonumber(ARGV[14]) or 0
local highest = tonumber(head.signedEpoch) or 0
local now = tonumber(redis.call('TIME')[1])
-- Whoever wrote this script's own keys by hand must not make operators sign with ever higher epochs.
if highest > now + 86400 then highest = 0 end
local current = redis.call('GET', KEYS[1])
local held = current and redis.sha1hex(current) or ''
if act == 'write' then
  if held ~= head.mark then return { 'unrecorded' } end
  if head.revision ~= tonumber(base) then return { 'conflict', cjson.encode(head) } end
  if signed > 0 and signed <= highest then return { 'stale', cjson.encode(head) } end
  mark = ARGV[11] == '1' and '' or redis.sha1hex(text)
elseif act == 'relay' then
  if held ~= ARGV[15] or (redis.call('GET', KEYS[5]) or '') ~= ARGV[16] then return { 'moved' } end
  if signed > 0 and (signed < highest or (signed == highest and ARGV[6] ~= head.digest)) then
    return { 'stale', cjson.encode(head) }
  end
  mark = ARGV[11] == '1' and '' or redis.sha1hex(text)
elseif act == 'direct' then
  if held ~= mark then return { 'moved' } end
  if head.mark == mark then return { 'known' } end
else
  mark = mark ~= '' and mark or redis.sha1hex(text)
  if head.mark == mark or held == mark then return { 'known' } end
end
local isReport = act == 'report'
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local revision = math.max(head.revision, tonumber(redis.call('GET', KEYS[3]) or 0)) + 1
if act == 'relay' then revision = math.max(revision, tonumber(ARGV[17])) end
highest = math.max(highest, signed)
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
-- What is reported has its own bounds.
local sum = (newest and tonumber(fields(newest).sum) or 0) + (isReport and 0 or #text)
if act == 'write' or act == 'relay' then
  if ARGV[11] == '1' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], text) end
end
if act == 'relay' then redis.call('SET', KEYS[5], ARGV[18]) end
redis.call('SET', KEYS[3], string.format('%.0f', revision))
local id = redis.call('XADD', KEYS[2], '*', 'revision', string.format('%.0f', revision), 'kind', ARGV[5],
  'at', string.format('%.0f', at), 'author', ARGV[7], 'reason', ARGV[8], 'digest', ARGV[6],
  'base', string.format('%.0f', head.revision), 'reporter', ARGV[10], 'id', ARGV[9], 'mark', mark,
  'bytes', #text, 'sum', string.format('%.0f', sum), 'deleted', ARGV[11],
  'signed', string.format('%.0f', signed), 'highest', string.format('%.0f', highest), 'document', text)
local reported = type(head.reported) == 'table' and head.reported or {}
if isReport then
  reported[#reported + 1] = id
  if #reported > ${maxReported} then redis.call('XDEL', KEYS[2], table.remove(reported, 1)) end
else
  head = { revision = revision, mark = mark, digest = ARGV[6], author = ARGV[7],
    reason = ARGV[8], at = at, kind = ARGV[5], id = ARGV[9], signedEpoch = highest }
end
head.reported = #reported > 0 and reported or nil
if not isReport or head.revision > 0 then redis.call('SET', KEYS[4], cjson.encode(head)) end
local count = redis.call('XLEN', KEYS[2])
while count > 1 do
  if count <= tonumber(ARGV[12]) then
    local oldest = fields(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1])
    if sum - (tonumber(oldest.sum) or 0) + (tonumber(oldest.bytes) or 0) <= tonumber(ARGV[13]) then break end
  end
  count = count - 1
  redis.call('XTRIM', KEYS[2], 'MAXLEN', '=', count)
end
return { 'ok', revision, at }`,
};

/**
 * Reads the history. KEYS: history. ARGV: limit, `1` = with documents. @returns flat lists of names and values, newest
 * first
 */
export const readHistory: Script = {
  name: "policy-history",
  lua: `
local entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])
local found = {}
for i, entry in ipairs(entries) do
  local list = {}
  for at = 1, #entry[2], 2 do
    if ARGV[2] == '1' or entry[2][at] ~= 'document' then
      list[#list + 1] = entry[2][at]
      list[#list + 1] = entry[2][at + 1]
    end
  end
  found[i] = list
end
return found`,
};

/** Reads one entry with its document. KEYS: history. ARGV: revision. @returns an empty list if there is none */
export const readRevision: Script = {
  name: "policy-revision",
  lua: `
local from = '+'
while true do
  local entries = redis.call('XREVRANGE', KEYS[1], from, '-', 'COUNT', 10)
  for _, entry in ipairs(entries) do
    for at = 1, #entry[2], 2 do
      if entry[2][at] == 'revision' and entry[2][at + 1] == ARGV[1] then return entry[2] end
    end
  end
  if #entries < 10 then return {} end
  from = '(' .. entries[#entries][1]
end`,
};

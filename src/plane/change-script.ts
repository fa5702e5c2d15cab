// The one script that writes a policy document and its history: all of it or nothing, on a server alone and in a
// Cluster (document-keys.ts says how), and atomic against every other client, a plain SET too.
import type { Script } from "../plugin-api/store.ts";

/** Most revisions of a document that are kept, and most bytes of their documents; the latest always is. */
export const maxRevisions = 200;
export const maxHistoryBytes = 64 * 1024 * 1024;
/** A document that was SET past us and is longer is told of in the history, without its text. */
export const maxDirectBytes = 4 * 1024 * 1024;
/** Documents that are there by a sidecar's word alone, of so many bytes at most: no sidecar drives out what operators did. */
const maxReported = 32;
export const maxReportBytes = 1024 * 1024;

/**
 * KEYS: document, history, epoch, applied.
 * ARGV: what to do, base, mark, document, kind, digest, author, reason, id, reporter, deleted, most revisions, most bytes,
 * epoch of the document's signature ("" or "0" = none).
 * Of `relay` also KEYS: relayed. ARGV: SHA-1 that the document must have, what `relayed` must hold, least revision, what `relayed` is to hold.
 *
 * `write`: sets the document. Its last revision must be `base`, and it must hold what that revision says.
 * `direct`: takes what the document holds (its SHA-1, `mark`) into the history, unless that is its last revision already.
 * `report`: takes what a sidecar found there earlier into the history. What the document holds, and its revision, stay: a
 * sidecar's word is no change that an operator could be beaten to. Of `mark` "" it is computed.
 * `relay`: sets the document that another region has, with that region's number where it is higher than the last one here.
 *
 * SHA-1 is the only digest that Redis' Lua has: whoever makes two documents of one digest and may SET both of them hides
 * a line of the history, and nothing else.
 *
 * Answers "ok", revision, epoch ms · "conflict", last revision in short · "unrecorded" (a plain SET came first) ·
 * "stale", last revision in short (one of as high an epoch was written before) · "moved" (it holds something else by now) · "known" (there is nothing to take over).
 */
export const changeDocument: Script = {
  name: "policy-change",
  lua: `
local act, base, mark, text = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
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

/** KEYS: history. ARGV: most, `1` = with documents. Newest first: flat lists of names and values. */
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

/** KEYS: history. ARGV: revision. The one entry, with its document; an empty list when it is not there. */
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

-- One step of a merge: moves some keys of an entry back into their database, as far as there are
-- none of these names. The ledger keeps the place, so that any proxy can go on.
--
-- ARGV[2] the id
-- ARGV[3] about how many keys
-- The reply is JSON: done, moved (in all) and left (how many keys stay in the trash).

local e = entry(ARGV[2])
if not e then return redis.error_reply('ERR no such entry in the trash: see SHOW TRASH') end
if not e.merge then return redis.error_reply('ERR no merge of this entry is under way') end
local m = e.merge
local d = e.dbs[m.at]
redis.call('SELECT', d.slot)
local found = redis.call('SCAN', m.cursor, 'COUNT', ARGV[3])
for _, key in ipairs(found[2]) do
  m.moved = m.moved + redis.call('MOVE', key, d.db)
end
m.cursor = found[1]
if m.cursor == '0' then
  d.keys = size(d.slot)
  m.at = m.at + 1
end
if m.at <= #e.dbs then
  save(e)
  return cjson.encode({done = false, moved = m.moved, left = 0})
end
local rest, left = {}, 0
for _, x in ipairs(e.dbs) do
  if x.keys > 0 then
    rest[#rest + 1] = x
    left = left + x.keys
  end
end
e.dbs, e.merge = rest, nil
if #rest == 0 then drop(e) else save(e) end
return cjson.encode({done = true, moved = m.moved, left = left})

-- Puts an entry back.
--
-- ARGV[2] the id
-- ARGV[3] "REPLACE": what was written since becomes an entry of its own; "MERGE": what was written
--         since wins, in steps, see merge.lua; "": only if nothing was written since
-- ARGV[4] the new entry of REPLACE, without what is found out here
-- The reply is JSON: keys, and the id of the new entry as trash.

local e = entry(ARGV[2])
if not e and keyEntry(ARGV[2]) then return cjson.encode({keyed = true}) end
if not e then return redis.error_reply('ERR no such entry in the trash: see SHOW TRASH') end
if e.merge then
  return redis.error_reply('ERR a merge of this entry is under way; it goes on by itself')
end
local since, restored = {}, 0
for _, d in ipairs(e.dbs) do
  local keys = size(d.db)
  if keys > 0 then since[#since + 1] = {db = d.db, slot = d.slot, keys = keys} end
  restored = restored + size(d.slot)
end
if #since > 0 and ARGV[3] == '' then
  return redis.error_reply('ERR keys were written since: UNDO id REPLACE moves these to the trash, '
    .. 'UNDO id MERGE keeps them beside the old ones')
end
if #since > 0 and ARGV[3] == 'MERGE' then
  e.merge = {at = 1, cursor = '0', moved = 0}
  save(e)
  return cjson.encode({keys = 0, merging = true})
end
local new
if #since > 0 then
  new = cjson.decode(ARGV[4])
  new.id, new.at, new.keep, new.dbs = newID(), now(), e.keep, since
  new['until'] = new.at + new.keep
end
save(e) -- what is refused is refused here: the next two are one step
drop(e)
if new then save(new) end
local err = swap(e.dbs)
if err then
  save(e)
  if new then drop(new) end
  return err
end
for db = 0, conf.databases - 1 do
  if size(db) == 0 then invalidate(db) break end
end
return cjson.encode({keys = restored, trash = new and new.id or 0})

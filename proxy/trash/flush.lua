-- Moves databases aside instead of emptying them.
--
-- ARGV[2] what: "all", the number of a database, "current" (the connection's own, which only the
--         server knows in a transaction), or "syntax", which answers what the server would
-- ARGV[3] the entry for the ledger, without what is found out here
-- ARGV[4] how long to keep it, in ms
-- ARGV[5] a key that does not exist
-- ARGV[6] the error if there is no room
-- ARGV[7] "ok" for the reply that the client expects; else the reply is [id, keys]

-- current finds the selected database: MOVE refuses the one where it is, whatever the key.
local function current()
  for db = 0, conf.databases - 1 do
    local r = redis.pcall('MOVE', ARGV[5], db)
    if type(r) == 'table' and r.err and string.find(r.err, 'the same', 1, true) then return db end
  end
end

local function targets(what)
  local list = {}
  if what == 'all' then
    for db, keys in string.gmatch(redis.call('INFO', 'keyspace'), 'db(%d+):keys=(%d+)') do
      db = tonumber(db)
      if not reserved[db] then list[#list + 1] = {db = db, keys = tonumber(keys)} end
    end
    return list
  end
  local db = tonumber(what) or current()
  if not db or reserved[db] then return nil end
  local keys = size(db)
  if keys > 0 then list[1] = {db = db, keys = keys} end
  return list
end

local function reply(id, keys)
  if ARGV[7] == 'ok' then return redis.status_reply('OK') end
  return {id, keys}
end

if ARGV[2] == 'syntax' then return redis.error_reply('ERR syntax error') end
local dbs = targets(ARGV[2])
if not dbs then return redis.error_reply('ERR the database is not known') end
if #dbs == 0 then return reply(0, 0) end

local free, keys = freeSlots(entries()), 0
if #free < #dbs then return redis.error_reply(ARGV[6]) end
for i, d in ipairs(dbs) do
  d.slot, keys = free[i], keys + d.keys
end
local e = cjson.decode(ARGV[3])
local mark = e.mark
e.mark = nil
e.at, e.keep, e.dbs = now(), tonumber(ARGV[4]), dbs
e['until'] = e.at + e.keep
e.id = newID()
save(e)
local err = swap(dbs)
if err then drop(e) return err end
told(mark, e.id)
invalidate(dbs[1].db)
return reply(e.id, keys)

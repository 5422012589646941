-- Lists a page of the entries of single keys, the one that is kept longest first, and with the first
-- page everything else: the ledger, oldest first, with the number of keys as it is now, and the
-- slots that hold something that is in no entry.
--
-- ARGV[2] how many entries of single keys are to be left out
-- ARGV[3] how many there are to be at the most
--
-- The reply is [how many entries of single keys there are, page, ledger, slots]; entries are JSON.

local page, ledger, slots = {}, {}, {}
local from, count = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('SELECT', conf.ledger)
local total = redis.call('ZCARD', DUE)
for _, id in ipairs(count > 0 and redis.call('ZREVRANGE', DUE, from, from + count - 1) or {}) do
  local k = keyEntry(id)
  if k then
    k.dbs = {{db = k.db, slot = conf.ledger, keys = redis.call('HLEN', NAMES .. id)}}
    if k.next then k.merge = {moved = 0} end
    page[#page + 1] = cjson.encode(k)
  end
end
if from > 0 then return {total, page, ledger, slots} end

local used = {}
for _, e in ipairs(entries()) do
  for _, d in ipairs(e.dbs) do
    used[d.slot] = true
    d.keys = size(d.slot)
  end
  ledger[#ledger + 1] = cjson.encode(e)
end
for _, slot in ipairs(conf.slots) do
  local keys = size(slot)
  if not used[slot] and keys > 0 then
    slots[#slots + 1] = cjson.encode({id = 0, dbs = {{db = slot, slot = slot, keys = keys}}})
  end
end
return {total, page, ledger, slots}

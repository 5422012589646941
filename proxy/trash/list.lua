-- Lists the ledger, oldest first, with the number of keys as it is now, behind it the newest
-- hundred entries of single keys, and then the slots that hold something that is in no entry. The reply is a
-- list of JSON.

local out, used = {}, {}
for _, e in ipairs(entries()) do
  for _, d in ipairs(e.dbs) do
    used[d.slot] = true
    d.keys = size(d.slot)
  end
  out[#out + 1] = cjson.encode(e)
end
redis.call('SELECT', conf.ledger)
local newest = redis.call('ZREVRANGE', DUE, 0, 99)
for i = #newest, 1, -1 do
  local k = keyEntry(newest[i])
  if k then
    local keys = redis.call('HLEN', NAMES .. newest[i])
    k.dbs = {{db = k.db, slot = conf.ledger, keys = keys}}
    if k.next then k.merge = {moved = 0} end
    out[#out + 1] = cjson.encode(k)
  end
end
for _, slot in ipairs(conf.slots) do
  local keys = size(slot)
  if not used[slot] and keys > 0 then
    out[#out + 1] = cjson.encode({id = 0, dbs = {{db = slot, slot = slot, keys = keys}}})
  end
end
return out

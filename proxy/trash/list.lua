-- Lists the ledger, oldest first, with the number of keys as it is now, and behind it the slots
-- that hold something that is in no entry. The reply is a list of JSON.

local out, used = {}, {}
for _, e in ipairs(entries()) do
  for _, d in ipairs(e.dbs) do
    used[d.slot] = true
    d.keys = size(d.slot)
  end
  out[#out + 1] = cjson.encode(e)
end
for _, slot in ipairs(conf.slots) do
  local keys = size(slot)
  if not used[slot] and keys > 0 then
    out[#out + 1] = cjson.encode({id = 0, dbs = {{db = slot, slot = slot, keys = keys}}})
  end
end
return out

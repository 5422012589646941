-- Empties what was kept long enough, and the oldest entry while the server is short of memory.
-- Every proxy does this every few seconds; the ids of merges under way are for it to go on with.
--
-- ARGV[2] the percentage of maxmemory from which on memory is short; 0: never
-- The reply is JSON: expired, pressed, merging and undoing, each a list of ids; keys, how many single
-- keys were emptied; and more, if there is more to do at once; slots, free: how many databases there are for
-- flushes, and how many of them are free; next: when the next of them is to be emptied.

local function short()
  local percent = tonumber(ARGV[2])
  if percent == 0 then return false end
  local info = redis.call('INFO', 'memory')
  local max = tonumber(string.match(info, '\nmaxmemory:(%d+)'))
  local used = tonumber(string.match(info, '\nused_memory:(%d+)'))
  return max and used and max > 0 and used > max * percent / 100
end

local out = {}
local function add(name, id)
  out[name] = out[name] or {}
  table.insert(out[name], id)
end

local kept, clock = {}, now()
for _, e in ipairs(entries()) do
  if e.merge then
    add('merging', e.id)
  elseif e['until'] <= clock then
    local err = empty(e)
    if err then return err end
    add('expired', e.id)
  else
    kept[#kept + 1] = e
  end
end
redis.call('SELECT', conf.ledger)
out.keys = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', clock, 'LIMIT', 0, 200)) do
  local k = keyEntry(id)
  if out.keys >= 1000 then out.more = true break end
  if not k then
    redis.call('ZREM', DUE, id)
  elseif not k.next then -- what is being put back is not emptied
    out.keys = out.keys + emptyKeys(k, 1000)
  end
end
for _, id in ipairs(redis.call('SRANDMEMBER', UNDOING, 1)) do add('undoing', tonumber(id)) end
if not out.expired and out.keys == 0 and short() then
  redis.call('SELECT', conf.ledger)
  local k
  for _, id in ipairs(redis.call('ZRANGE', DUE, 0, 9)) do
    k = keyEntry(id)
    if k and not k.next then break end
    k = nil
  end
  if k and (not kept[1] or k.id < kept[1].id) then -- within a millisecond, too
    out.keys, out.more = emptyKeys(k, 1000), true
  elseif kept[1] then
    local err = empty(kept[1])
    if err then return err end
    add('pressed', kept[1].id)
  end
end
local left = entries()
out.slots, out.free = #conf.slots, #freeSlots(left)
for _, e in ipairs(left) do
  if not e.merge and (not out.next or e['until'] < out.next) then out.next = e['until'] end
end
return cjson.encode(out)

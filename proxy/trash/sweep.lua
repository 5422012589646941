-- Empties what was kept long enough, and the oldest entry while the server is short of memory.
-- Every proxy does this every few seconds; the ids of merges under way are for it to go on with.
--
-- ARGV[2] the percentage of maxmemory from which on memory is short; 0: never
-- The reply is JSON: expired, pressed and merging, each a list of ids.

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
if #kept > 0 and not out.expired and short() then
  local err = empty(kept[1])
  if err then return err end
  add('pressed', kept[1].id)
end
return cjson.encode(out)

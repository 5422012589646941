-- Moves deadlines on by ARGV[1] milliseconds: of KEYS, or of the keys that match ARGV[2] and so on.
local by = tonumber(ARGV[1])
local seen = {}

local function later(at) return string.format('%.0f', at + by) end

local function fields(key)
  local names = redis.call('HKEYS', key)
  for i = 1, #names do
    local at = redis.pcall('HPEXPIRETIME', key, 'FIELDS', 1, names[i])
    if at.err then return end -- a server without deadlines of fields
    if at[1] > 0 then redis.call('HPEXPIREAT', key, later(at[1]), 'FIELDS', 1, names[i]) end
  end
  -- Redis counts fields that have expired, and does not show them.
  if redis.call('HLEN', key) ~= #names then redis.call('SADD', 'holdfast:unshifted', key) end
end

local function shift(key)
  if seen[key] then return end
  local at = redis.call('PEXPIRETIME', key)
  if at == -2 then return end
  if at > 0 then
    seen[key] = true
    redis.call('PEXPIREAT', key, later(at))
  end
  if redis.call('TYPE', key).ok == 'hash' then
    seen[key] = true
    fields(key)
  end
end

for i = 1, #KEYS do shift(KEYS[i]) end
for i = 2, #ARGV do
  local cursor = '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', ARGV[i], 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do shift(key) end
  until cursor == '0'
end

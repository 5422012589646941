-- One step of putting single keys back. An entry with keys that could not go back stays.
--
-- ARGV[2] the id
-- ARGV[3] "REPLACE": a key of the same name changes places with the old one; else it stays as it is.
--         Looked at in the first step only, which must not be one of "CONTINUE"
-- ARGV[4] how many keys
-- The reply is JSON, as merge.lua has it.

local e = keyEntry(ARGV[2])
if not e then return redis.error_reply('ERR no such entry in the trash: see SHOW TRASH') end
if not e.next and ARGV[3] == 'CONTINUE' then return redis.error_reply('ERR it has ended') end
if not e.next then e.next, e.how, e.back, e.left = 1, ARGV[3], 0, 0 end
local spare = e.prefix .. 'spare'

-- exchange puts one value back; what stands at its place goes to the trash in its stead.
local function exchange(name, value, there)
  redis.call('SELECT', e.db)
  if there then redis.call('RENAME', name, spare) end
  redis.call('SELECT', conf.ledger)
  local r = redis.pcall('MOVE', value, e.db)
  redis.call('SELECT', e.db)
  if r ~= 1 then
    if there then redis.call('RENAME', spare, name) end
    return false
  end
  redis.call('RENAME', value, name)
  if there then
    redis.call('RENAME', spare, value)
    redis.call('MOVE', value, conf.ledger)
  end
  return true
end

local function back(i)
  local names, value = NAMES .. idOf(e), e.prefix .. i
  redis.call('SELECT', conf.ledger)
  local name = redis.call('HGET', names, i)
  if not name then return end
  if redis.call('EXISTS', value) == 0 then -- its deadline has come
    redis.call('HDEL', names, i)
    return
  end
  redis.call('SELECT', e.db)
  local there = redis.call('EXISTS', name) == 1
  if there and e.how ~= 'REPLACE' or not exchange(name, value, there) then
    e.left = e.left + 1
    return
  end
  e.back = e.back + 1
  if there then
    e.left = e.left + 1
  else
    redis.call('SELECT', conf.ledger)
    redis.call('HDEL', names, i)
  end
end

local last = math.min(e.next + ARGV[4] - 1, e.count)
for i = e.next, last do back(i) end
e.next = last + 1
local done = e.next > e.count
local reply = cjson.encode({done = done, moved = e.back, left = e.left})
redis.call('SELECT', conf.ledger)
if not done then
  redis.call('SADD', UNDOING, idOf(e))
  saveKeys(e)
elseif e.left == 0 then
  dropKeys(e)
else
  e.next, e.how, e.back, e.left = nil, nil, nil, nil
  redis.call('SREM', UNDOING, idOf(e))
  saveKeys(e)
end
return reply

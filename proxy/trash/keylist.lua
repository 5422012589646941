-- Stands behind ledger.lua in the scripts that know of single keys in the trash. Their values are
-- in the database of the ledger, each under a name of its own: the prefix of its entry and a number.
-- NAMES..id is a hash from the number to the name that the key had. KEYS..id is the entry, and DUE
-- orders the ids by the time until which they are kept: there may be a great many.

local DUE, KEYED, NAMES = 'holdfast:trash:due', 'holdfast:trash:keys:', 'holdfast:trash:names:'
local UNDOING = 'holdfast:trash:undoing' -- ids, so that any proxy can go on with them

local function keyEntry(id)
  redis.call('SELECT', conf.ledger)
  local text = redis.call('GET', KEYED .. id)
  return text and cjson.decode(text)
end

local function idOf(e) return string.format('%d', e.id) end

local function saveKeys(e)
  redis.call('SELECT', conf.ledger)
  redis.call('SET', KEYED .. idOf(e), cjson.encode(e))
  redis.call('ZADD', DUE, e['until'], idOf(e))
end

local function dropKeys(e)
  redis.call('SELECT', conf.ledger)
  redis.call('DEL', KEYED .. idOf(e), NAMES .. idOf(e))
  redis.call('ZREM', DUE, idOf(e))
  redis.call('SREM', UNDOING, idOf(e))
end

-- emptyKeys deletes values of an entry, up to limit of them, and forgets the entry with the last.
-- The result is how many.
local function emptyKeys(e, limit)
  redis.call('SELECT', conf.ledger)
  local names = NAMES .. idOf(e)
  local last = math.max(e.count - limit, 0)
  for i = e.count, last + 1, -1 do
    redis.call('UNLINK', e.prefix .. i)
    redis.call('HDEL', names, i)
  end
  local done = e.count - last
  e.count = last
  if last == 0 then dropKeys(e) else saveKeys(e) end
  return done
end

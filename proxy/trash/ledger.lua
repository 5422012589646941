-- Stands before each of the other scripts: the ledger of the trash, and the databases of it.
--
-- A script is one step. The server carries it out alone, and no other proxy sees a half of it. In
-- a script, all that can be refused comes first, and what was begun is taken back where the server
-- refuses the rest: a script that ends with an error has changed nothing.
--
-- ARGV[1] is what this proxy was told: {ledger: 15, slots: [8, ..., 14]}.

local conf = cjson.decode(ARGV[1])
local LEDGER, SEQUENCE = 'holdfast:trash', 'holdfast:trash:sequence'
local MARK = 'holdfast:trash:mark:'

local reserved = {[conf.ledger] = true}
for _, slot in ipairs(conf.slots) do reserved[slot] = true end

-- now is the server's clock, in ms.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function size(db)
  redis.call('SELECT', db)
  return redis.call('DBSIZE')
end

-- entries is the ledger, oldest first.
local function entries()
  redis.call('SELECT', conf.ledger)
  local list = {}
  for _, text in ipairs(redis.call('HVALS', LEDGER)) do list[#list + 1] = cjson.decode(text) end
  table.sort(list, function(a, b) return a.id < b.id end)
  return list
end

local function entry(id)
  redis.call('SELECT', conf.ledger)
  local text = redis.call('HGET', LEDGER, id)
  return text and cjson.decode(text)
end

local function save(e)
  redis.call('SELECT', conf.ledger)
  redis.call('HSET', LEDGER, string.format('%d', e.id), cjson.encode(e))
end

local function drop(e)
  redis.call('SELECT', conf.ledger)
  redis.call('HDEL', LEDGER, string.format('%d', e.id))
end

local function newID()
  redis.call('SELECT', conf.ledger)
  return redis.call('INCR', SEQUENCE)
end

-- told leaves the id of an entry for the proxy that asked, for a minute: the reply of a script that
-- ran in a client's transaction is the client's. mark is nil if nobody asked.
local function told(mark, id)
  if not mark then return end
  redis.call('SELECT', conf.ledger)
  redis.pcall('SET', MARK .. mark, string.format('%d', id), 'PX', 60000)
end

-- freeSlots lists the slots that hold nothing and are promised to nobody.
local function freeSlots(list)
  local used = {}
  for _, e in ipairs(list) do
    for _, d in ipairs(e.dbs) do used[d.slot] = true end
  end
  local free = {}
  for _, slot in ipairs(conf.slots) do
    if not used[slot] and size(slot) == 0 then free[#free + 1] = slot end
  end
  return free
end

-- swap lets databases and slots change places: all, or none and the error.
local function swap(dbs)
  for i, d in ipairs(dbs) do
    local r = redis.pcall('SWAPDB', d.db, d.slot)
    if type(r) == 'table' and r.err then
      for j = i - 1, 1, -1 do redis.call('SWAPDB', dbs[j].db, dbs[j].slot) end
      return r
    end
  end
end

-- invalidate makes clients that cache forget what they know (CLIENT TRACKING), as after a flush:
-- SWAPDB does not tell them. It flushes a database that is empty as it is.
local function invalidate(db)
  if size(db) == 0 then redis.pcall('FLUSHDB', 'ASYNC') end
end

-- empty deletes what an entry holds, in the background, and forgets the entry.
local function empty(e)
  drop(e)
  for _, d in ipairs(e.dbs) do
    redis.call('SELECT', d.slot)
    local r = redis.pcall('FLUSHDB', 'ASYNC')
    if type(r) == 'table' and r.err then save(e) return r end
  end
end

-- Carries out a command that destroys whole keys in such a way that their old values move aside.
-- The reply is the one that the command has.
--
-- ARGV[2] the number of the database, or "current"
-- ARGV[3] the entry for the ledger, without what is found out here
-- ARGV[4] how long to keep it, in ms
-- ARGV[5] what names of the entry begin with; no key begins with it
-- ARGV[6] "ok" for the reply that the client expects; else the reply is [id, reply]
-- ARGV[7] and on: the command, its name in lower case

local args = {}
for i = 7, #ARGV do args[#args + 1] = ARGV[i] end
local name, key, prefix = args[1], args[2], ARGV[5]
local spare = prefix .. 'spare'

local db = tonumber(ARGV[2])
if not db then
  for i = 0, conf.databases - 1 do
    local r = redis.pcall('MOVE', spare, i)
    if type(r) == 'table' and r.err and string.find(r.err, 'the same', 1, true) then db = i end
  end
end
if not db or reserved[db] then return redis.error_reply('ERR the database is not known') end

local moved = {} -- {db, name}, by number
local e, mark    -- the entry, once there is something to keep

-- word is an option as the server compares it: in lower case, up to a NUL byte.
local function word(text) return string.lower(string.match(text, '^[^%z]*')) end

local function failed(r) return type(r) == 'table' and r.err end

-- begin writes the entry, before anything moves, and tries what is to be written at the end: where the
-- server refuses that, nothing was done.
local function begin()
  e = cjson.decode(ARGV[3])
  mark, e.mark = e.mark, nil
  e.at, e.keep, e.prefix, e.db, e.count = now(), tonumber(ARGV[4]), prefix, db, 0
  e['until'] = e.at + e.keep
  e.id = newID()
  saveKeys(e)
  redis.call('HSET', NAMES .. idOf(e), 0, '')
  redis.call('HDEL', NAMES .. idOf(e), 0)
end

-- rollback puts back what was moved aside so far.
local function rollback()
  for i = #moved, 1, -1 do
    redis.call('SELECT', conf.ledger)
    redis.call('MOVE', prefix .. i, moved[i].db)
    redis.call('SELECT', moved[i].db)
    redis.call('RENAME', prefix .. i, moved[i].name)
  end
end

-- aside moves a key of a database into the trash; false if there is none. What the server refuses
-- once something has moved is returned.
local function aside(from, which)
  redis.call('SELECT', from)
  local there = redis.pcall('EXISTS', which) -- it may be a key that the user may not touch
  if failed(there) then return there end
  if there == 0 then return false end
  if not e then
    begin()
    redis.call('SELECT', from)
  end
  local n = #moved + 1
  local r = redis.pcall('RENAME', which, prefix .. n)
  if failed(r) then return r end
  r = redis.pcall('MOVE', prefix .. n, conf.ledger)
  if failed(r) or r == 0 then
    redis.call('RENAME', prefix .. n, which)
    return failed(r) and r or redis.error_reply('ERR the script could not move the key aside')
  end
  moved[n] = {db = from, name = which}
  return true
end

local function here() redis.call('SELECT', db) end

local function original() here() return redis.pcall(unpack(args)) end

local function delete()
  local count = 0
  for i = 2, #args do
    local r = aside(db, args[i])
    if failed(r) then return r end
    if r then count = count + 1 end
  end
  return count
end

local function getdel()
  here()
  local value = redis.pcall('GET', key)
  if failed(value) or value == false then return value end
  local r = aside(db, key)
  return failed(r) and r or value
end

local function rename()
  here()
  if redis.call('EXISTS', key) == 0 or key == args[3] then return original() end
  local r = aside(db, args[3])
  if failed(r) then return r end
  return original()
end

-- restore makes the new value under another name first: what is wrong with it must be known before
-- the old one goes.
local function restore()
  args[2] = spare
  local r = original()
  if failed(r) then return r end
  r = aside(db, key)
  here()
  if failed(r) then redis.call('DEL', spare) return r end
  if redis.call('EXISTS', spare) == 1 then redis.call('RENAME', spare, key) end
  return redis.status_reply('OK')
end

local function copy()
  local to, plain, i = db, {}, 1
  while i <= #args do
    local option = word(args[i])
    if i > 3 and option == 'db' and args[i + 1] then
      to = tonumber(args[i + 1])
      plain[#plain + 1], plain[#plain + 2] = args[i], args[i + 1]
      i = i + 1
    elseif i <= 3 or option ~= 'replace' then
      plain[#plain + 1] = args[i]
    end
    i = i + 1
  end
  here()
  local r = redis.pcall(unpack(plain))
  if r ~= 0 or redis.call('EXISTS', key) == 0 then return r end
  r = aside(to, args[3])
  if failed(r) then return r end
  here()
  return redis.pcall(unpack(plain))
end

-- past reports whether a time of the command's is in the past on the server's own clock.
local function past(time, unit) return time and time * unit <= now() end

local function expire()
  if (name == 'expireat' and not past(tonumber(args[3]), 1000)) or
     (name == 'pexpireat' and not past(tonumber(args[3]), 1)) then
    return original()
  end
  args[2] = spare -- there is no such key: the server says what is wrong with the rest
  local r = original()
  args[2] = key
  if failed(r) then return r end
  here()
  local ttl = redis.call('PTTL', key)
  for i = 4, #args do
    local option = word(args[i])
    if (option == 'nx' and ttl ~= -1) or (option == 'xx' and ttl == -1) or option == 'gt' then
      return 0
    end
  end
  r = aside(db, key)
  if failed(r) then return r end
  return r and 1 or 0
end

local function getex()
  local deadline
  for i = 3, #args - 1 do
    local option = word(args[i])
    if option == 'exat' then deadline = tonumber(args[i + 1]) and tonumber(args[i + 1]) * 1000 end
    if option == 'pxat' then deadline = tonumber(args[i + 1]) end
  end
  if not deadline or deadline <= 0 or not past(deadline, 1) then return original() end
  args[2] = spare
  local r = original()
  args[2] = key
  if failed(r) then return r end
  return getdel()
end

-- set is about a SET with a time in the past: all that it leaves is its reply.
local function set()
  local plain, get, nx, equal, time = {'set', spare, args[3]}, false, false, nil, nil
  local i = 4
  while i <= #args do
    local option = word(args[i])
    if option == 'get' then get = true
    elseif option == 'nx' then nx = true
    elseif option == 'ifeq' then equal, i = args[i + 1], i + 1
    elseif option ~= 'xx' then plain[#plain + 1] = args[i] end
    if option == 'exat' then time = (tonumber(args[i + 1]) or 0) * 1000 end
    if option == 'pxat' then time = tonumber(args[i + 1]) end
    i = i + 1
  end
  here()
  if redis.call('EXISTS', key) == 0 or nx or not past(time, 1) then return original() end
  local r = redis.pcall(unpack(plain)) -- the server says what is wrong with it
  if failed(r) then return r end
  redis.call('DEL', spare)
  local value = false
  if get or equal then value = redis.pcall('GET', key) end
  if failed(value) then return value end
  if equal and value ~= equal then return original() end
  r = aside(db, key)
  if failed(r) then return r end
  if get then return value end
  return redis.status_reply('OK')
end

local handlers = {
  set = set, del = delete, unlink = delete, getdel = getdel, rename = rename, copy = copy, getex = getex,
  restore = restore, ['restore-asking'] = restore,
  expire = expire, pexpire = expire, expireat = expire, pexpireat = expire,
}

local answer = handlers[name]()
local id = 0
if failed(answer) then
  rollback()
  if e then dropKeys(e) end
  return answer
end
if #moved > 0 then
  e.count, e.db, id = #moved, moved[1].db, e.id
  saveKeys(e)
  for i, m in ipairs(moved) do redis.call('HSET', NAMES .. idOf(e), i, m.name) end
  told(mark, id)
end
if ARGV[6] == 'ok' then return answer end
return {id, answer}

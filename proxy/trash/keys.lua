-- Carries out a command that destroys whole keys in such a way that their old values move aside. What
-- the options of a command mean is the server's to say, here as well: see judged.
-- The reply is the one that the command has.
--
-- ARGV[2] the number of the database, or "current"
-- ARGV[3] the entry for the ledger, without what is found out here
-- ARGV[4] how long to keep it, in ms
-- ARGV[5] what names of the entry begin with; no key begins with it
-- ARGV[6] "ok" for the reply that the client expects; else the reply is [id, reply]
-- ARGV[7] the places of the command's keys, with spaces between them
-- ARGV[8] and on: the command, its name in lower case

local args = {}
for i = 8, #ARGV do args[#args + 1] = ARGV[i] end
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

-- judged leaves everything to the server, which alone knows what the options mean: it keeps a copy of
-- each key, has the command carried out, and keeps those copies whose keys are gone.
local function judged()
  if not pcall(unpack, args) then -- before anything is copied
    return redis.error_reply('ERR the trash takes no such command with more than some 8,000 arguments; send it in parts')
  end
  local copies, seen = {}, {}
  local function forget(from)
    redis.call('SELECT', conf.ledger)
    for i = from, #copies do redis.call('UNLINK', prefix .. i) end
  end
  for place in string.gmatch(ARGV[7], '%d+') do
    local name = args[tonumber(place)]
    here()
    if name and not seen[name] and redis.pcall('EXISTS', name) == 1 then
      seen[name] = true
      if not e then begin() here() end
      local r = redis.pcall('COPY', name, prefix .. (#copies + 1), 'DB', conf.ledger)
      if r ~= 1 then
        forget(1)
        return failed(r) and r or redis.error_reply('ERR the script could not copy the key')
      end
      copies[#copies + 1] = name
    end
  end
  local r = original()
  for i, name in ipairs(copies) do
    here()
    if not failed(r) and redis.call('EXISTS', name) == 0 then
      local n = #moved + 1
      if n ~= i then
        redis.call('SELECT', conf.ledger)
        redis.call('RENAME', prefix .. i, prefix .. n)
      end
      moved[n] = {db = db, name = name}
    end
  end
  forget(#moved + 1)
  if e and #moved == 0 then
    dropKeys(e)
    e = nil
  end
  return r
end

local handlers = {
  del = delete, unlink = delete, getdel = getdel, rename = rename, copy = copy,
  restore = restore, ['restore-asking'] = restore,
}

local answer = (handlers[name] or judged)()
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

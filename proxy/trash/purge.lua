-- Empties one entry for good, or takes a step at it: then the reply is MORE. With the first step it
-- has been kept long enough, so that the sweeps go on where the proxy ends.
--
-- ARGV[2] the id

local e = entry(ARGV[2])
local k = not e and keyEntry(ARGV[2])
if k then
  k['until'] = math.min(k['until'], now())
  emptyKeys(k, 1000)
  return redis.status_reply(k.count > 0 and 'MORE' or 'OK')
end
if not e then return redis.error_reply('ERR no such entry in the trash: see SHOW TRASH') end
return empty(e) or redis.status_reply('OK')

-- Empties one entry for good.
--
-- ARGV[2] the id

local e = entry(ARGV[2])
if not e then return redis.error_reply('ERR no such entry in the trash: see SHOW TRASH') end
return empty(e) or redis.status_reply('OK')

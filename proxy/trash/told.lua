-- Takes what told has left: the reply has an id for each mark, or null.
--
-- ARGV[2] and on: the marks

redis.call('SELECT', conf.ledger)
local ids = {}
for i = 2, #ARGV do ids[#ids + 1] = redis.call('GETDEL', MARK .. ARGV[i]) end
return ids

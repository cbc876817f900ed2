-- Takes a failure out of the hand: it was delivered, or it is tried again after the
-- others of its outbox.
--
-- KEYS  1 resqued:outbox:hand:<backend>  2 resqued:outbox:<backend>
-- ARGV  1 element  2 '1' to try it again
--
-- Returns 1, or 0 if another process has taken it out

if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
if ARGV[2] == '1' then redis.call('RPUSH', KEYS[2], ARGV[1]) end
return 1

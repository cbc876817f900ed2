-- Releases a lock, if it is the caller's: it may have expired, and be another's by now.
--
-- KEYS  1 the lock
-- ARGV  1 owner
--
-- Returns 1 released | 0 it is not the caller's

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])

-- Deletes a list and returns its length, in one step: elements that are added later
-- are kept. A bulk operation that works on the list finds nothing more.
--
-- KEYS  1 <list>  2 resqued:bulk  3 resqued:bulk:staged:<list>
-- ARGV  1 list name
--
-- Returns how many elements were removed

local length = redis.call('LLEN', KEYS[1]) + redis.call('LLEN', KEYS[3])
redis.call('UNLINK', KEYS[1], KEYS[3])
redis.call('HDEL', KEYS[2], ARGV[1])
return length

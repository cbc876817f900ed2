-- Removes a queue and its name in one step, so that a push in between cannot leave a
-- list that is missing from the set of queues.
--
-- KEYS  1 queues  2 queue:<name>
-- ARGV  1 queue name
--
-- Returns how many jobs were removed

local length = redis.call('LLEN', KEYS[2])
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return length

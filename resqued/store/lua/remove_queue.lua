-- Removes a queue and its name together, so that no push in between leaves a
-- list whose name nobody knows.
--
-- KEYS  1 queues  2 queue:<name>
-- ARGV  1 queue name
--
-- Answers how many jobs were removed

local length = redis.call('LLEN', KEYS[2])
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return length

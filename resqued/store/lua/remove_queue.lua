-- Removes a queue and its name in one step, so that a push in between cannot leave a
-- list that is missing from the set of queues. A bulk operation that works on the queue
-- finds nothing more.
--
-- KEYS  1 queues  2 queue:<name>  3 resqued:bulk  4 resqued:bulk:staged:<list>
-- ARGV  1 queue name  2 list name
--
-- Returns how many jobs were removed

local length = redis.call('LLEN', KEYS[2]) + redis.call('LLEN', KEYS[4])
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('UNLINK', KEYS[2], KEYS[4])
redis.call('HDEL', KEYS[3], ARGV[2])
return length

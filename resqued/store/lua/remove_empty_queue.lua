-- Removes the name of a queue that has no job; a job that is pushed just before stays,
-- and with it the name.
--
-- KEYS  1 queues  2 queue:<name>  3 resqued:bulk:staged:<list>
-- ARGV  1 queue name
--
-- Returns 1 removed | 0 the queue has jobs, or is not known

if redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return 0 end
return redis.call('SREM', KEYS[1], ARGV[1])

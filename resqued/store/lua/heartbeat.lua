-- Writes a heartbeat, and restores missing parts of the registration as long as the
-- identity is there.
--
-- KEYS  1 workers  2 worker:<id>:started  3 workers:heartbeat  4 resqued:workers
-- ARGV  1 id  2 identity  3 started  4 heartbeat
--
-- Returns 1 | 0 this worker is not registered any more

if redis.call('HGET', KEYS[4], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('SETNX', KEYS[2], ARGV[3])
return 1

-- Removes a worker that holds no job from the registry, if the entry is its own.
--
-- KEYS  1 workers  2 worker:<id>  3 worker:<id>:started  4 workers:heartbeat
--       5 resqued:workers  6 stat:processed:<id>  7 stat:failed:<id>
-- ARGV  1 id  2 identity
--
-- Returns 1 removed | 0 the entry is not this worker's, or it holds a job

if redis.call('HGET', KEYS[5], ARGV[1]) ~= ARGV[2] then return 0 end
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('DEL', KEYS[3], KEYS[6], KEYS[7])
return 1

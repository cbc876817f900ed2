-- Takes a worker that holds no job out of the registry, if it is still the one
-- that registered. Answers 1 if it did, 0 if there was nothing of its own.
--
-- KEYS  1 workers  2 worker:<id>  3 worker:<id>:started  4 workers:heartbeat
--       5 resqued:workers  6 stat:processed:<id>  7 stat:failed:<id>
-- ARGV  1 id  2 identity

if redis.call('HGET', KEYS[5], ARGV[1]) ~= ARGV[2] then return 0 end
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('DEL', KEYS[3], KEYS[6], KEYS[7])
return 1

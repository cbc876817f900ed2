-- Registers a worker: its id, its start, its first heartbeat and its identity, all or
-- nothing. Does nothing if another worker has the id.
--
-- KEYS  1 workers  2 worker:<id>  3 worker:<id>:started  4 workers:heartbeat
--       5 resqued:workers  6 stat:processed:<id>  7 stat:failed:<id>
-- ARGV  1 id  2 identity  3 started  4 heartbeat
--
-- Returns {'registered'} | {'taken'}

local owner = redis.call('HGET', KEYS[5], ARGV[1])
if owner ~= ARGV[2] then
  if owner
    or redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1
    or redis.call('EXISTS', KEYS[2]) == 1 then
    return {'taken'}
  end
  redis.call('DEL', KEYS[6], KEYS[7])
end
redis.call('HSET', KEYS[5], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[4], ARGV[1], ARGV[4])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('SET', KEYS[3], ARGV[3])
return {'registered'}

-- Enqueues the ticks of a recurring job, if nobody has done it: the last tick that was
-- dealt with must be the one that the caller has read.
--
-- KEYS  1 resqued:schedules:last  2 queues  3 queue:<name>
--       4 delayed:last_enqueued_at          5 resqued:schedules:disabled
-- ARGV  1 name of the schedule    2 last tick, or '' for none  3 last tick from now on
--       4 payload, or '' to enqueue nothing 5 name of the queue
--       6 how often               7 time for delayed:last_enqueued_at
--
-- Returns {state, last}; state: 'enqueued' | 'skipped', also if it is disabled |
-- 'changed', somebody else was first

local last = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if last ~= ARGV[2] then return {'changed', last} end

if ARGV[4] == '' or redis.call('SISMEMBER', KEYS[5], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return {'skipped', ARGV[3]}
end
-- First what may fail.
for _ = 1, tonumber(ARGV[6]) do
  redis.call('RPUSH', KEYS[3], ARGV[4])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('SADD', KEYS[2], ARGV[5])
redis.pcall('HSET', KEYS[4], ARGV[1], ARGV[7])
return {'enqueued', ARGV[3]}

-- Puts a job where it waits for its time; or on its queue, if the time has come. The
-- clock is that of the server.
--
-- KEYS  1 delayed_queue_schedule  2 queues  3 queue:<name>
-- ARGV  1 prefix of all keys      2 name of the queue  3 payload
--       4 the same as a delayed item                   5 'in' or 'at'
--       6 seconds from now, or seconds since the epoch
--
-- Returns the time at which the job is due, in seconds since the epoch; 0 if it is on
-- its queue.

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local due = tonumber(ARGV[6])
if ARGV[5] == 'in' then due = now + due end

if due <= now then
  redis.call('RPUSH', KEYS[3], ARGV[3])
  redis.call('SADD', KEYS[2], ARGV[2])
  return 0
end

-- Up to the next whole second: no job begins before its time.
local time = string.format('%.0f', math.ceil(due))
local name = 'delayed:' .. time
redis.call('RPUSH', ARGV[1] .. name, ARGV[4])
redis.call('SADD', ARGV[1] .. 'timestamps:' .. ARGV[4], name)
redis.call('ZADD', KEYS[1], time, time)
return tonumber(time)

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

-- include delay

local clock = server_time()
local due = tonumber(ARGV[6])
if ARGV[5] == 'in' then due = clock + due end

if due <= clock then
  redis.call('RPUSH', KEYS[3], ARGV[3])
  redis.call('SADD', KEYS[2], ARGV[2])
  return 0
end

return delay(ARGV[1], KEYS[1], due, ARGV[4])

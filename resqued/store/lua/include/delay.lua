-- Has a job wait until a time. Part of other scripts.
--
-- prefix: that of all keys; schedule: the key delayed_queue_schedule; due: seconds since
-- the epoch, by the clock of the server; item: the job as a delayed item.
--
-- Returns the time at which it is due, or an error, and then nothing was written.
local function server_time()
  local clock = redis.call('TIME')
  return tonumber(clock[1]) + tonumber(clock[2]) / 1e6
end

local function delay(prefix, schedule, due, item)
  local first = redis.pcall('ZRANGE', schedule, 0, 0)
  if first.err then return first end
  -- Up to the next whole second: no job begins before its time.
  local time = string.format('%.0f', math.ceil(due))
  local name = 'delayed:' .. time
  local added = redis.pcall('RPUSH', prefix .. name, item)
  if type(added) == 'table' then return added end
  redis.pcall('SADD', prefix .. 'timestamps:' .. item, name)
  redis.call('ZADD', schedule, time, time)
  return tonumber(time)
end

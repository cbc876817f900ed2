-- Removes a queue and its name in one step, so that a push in between cannot leave a
-- list that is missing from the set of queues. A bulk operation that works on the queue
-- finds nothing more. A task of the web front end removes a queue once, although it may go
-- on after its process has died, when the queue has jobs again: others pass no KEYS[5].
--
-- KEYS  1 queues  2 queue:<name>  3 resqued:bulk  4 resqued:bulk:staged:<list>
--       5 resqued:web:task:<id>
-- ARGV  1 queue name  2 list name
--
-- Returns how many jobs were removed, by an earlier call for the same task too

local task = KEYS[5]
if task then
  if redis.call('EXISTS', task) == 0 then return 0 end
  local before = redis.call('HGET', task, 'removed')
  if before then return tonumber(before) end
end
local length = redis.call('LLEN', KEYS[2]) + redis.call('LLEN', KEYS[4])
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('UNLINK', KEYS[2], KEYS[4])
redis.call('HDEL', KEYS[3], ARGV[2])
if task then redis.call('HSET', task, 'removed', string.format('%d', length)) end
return length

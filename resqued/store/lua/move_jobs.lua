-- Moves jobs of a queue behind those of another, the next one first, for a task that
-- moves as many as waited when it began. How many are left is written in the same step,
-- so that a task that continues after its process has died, or after a reply was lost,
-- moves none that came later.
--
-- KEYS  1 queue:<name>  2 queue:<target>  3 queues  4 resqued:web:task:<id>
-- ARGV  1 target name  2 how many to move now  3 how many in all, for the first step
--       4 how many bytes to move now, about
--
-- Returns {moved so far, in all, left}; nothing is left if the queue is empty, or if the
-- task is not known any more

local task = KEYS[4]
if redis.call('EXISTS', task) == 0 then return {0, 0, 0} end
local all = tonumber(redis.call('HGET', task, 'all') or ARGV[3])
local left = tonumber(redis.call('HGET', task, 'left') or all)
local most, room = math.min(left, tonumber(ARGV[2])), tonumber(ARGV[4])
local moved, bytes = 0, 0
while moved < most and bytes < room do
  local job = redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
  if not job then
    -- Workers have taken the others.
    all = all - left + moved
    left = moved
    break
  end
  moved, bytes = moved + 1, bytes + #job
end
left = left - moved
if moved > 0 then redis.call('SADD', KEYS[3], ARGV[1]) end
redis.call('HSET', task, 'all', string.format('%d', all), 'left', string.format('%d', left))
return {all - left, all, left}

-- Writes fields of a task of the web front end, if the caller still runs it, and takes,
-- keeps or gives up the turn to change long lists.
--
-- KEYS  1 resqued:web:task:<id>  2 resqued:web:turn
-- ARGV  1 id of the task  2 the runner that it must have  3 seconds it is kept
--       4 '1' to take or keep the turn, '0' to give it up  5 milliseconds of the turn
--       then field and value…
--
-- Returns {0} the task is gone or another runs it | {1, the last order, 1 or 0: whether
-- the task has the turn}

if redis.call('HGET', KEYS[1], 'runner') ~= ARGV[2] then return {0} end
local holder = redis.call('GET', KEYS[2])
local has = 0
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
redis.call('EXPIRE', KEYS[1], ARGV[3])
if ARGV[4] == '1' then
  if not holder or holder == ARGV[1] then
    redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
    has = 1
  end
elseif holder == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
return {1, redis.call('HGET', KEYS[1], 'wanted') or '', has}

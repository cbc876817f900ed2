-- Removes the entries that a person has seen from a list of failures: the newest of
-- them and all before it. Those that were added later stay. The memory is given back in
-- the background.
--
-- KEYS  1 <list>  2 resqued:bulk
-- ARGV  1 list name  2 the newest entry seen  3 its index  4 how many may be newer
--
-- Returns how many were removed | -1 the entry does not stand there any more | -2 a
-- bulk operation works on the list | -3 more are newer

if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return -2 end
local index, length = tonumber(ARGV[3]), redis.call('LLEN', KEYS[1])
if redis.call('LINDEX', KEYS[1], index) ~= ARGV[2] then return -1 end
if length - index - 1 > tonumber(ARGV[4]) then return -3 end
local newer = redis.call('LRANGE', KEYS[1], index + 1, -1)
redis.call('UNLINK', KEYS[1])
-- In parts, since Lua's stack has little room. A script that has removed something may
-- continue without memory.
for first = 1, #newer, 1000 do
  redis.call('RPUSH', KEYS[1], unpack(newer, first, math.min(first + 999, #newer)))
end
return index + 1

-- Removes the oldest entries of a list of failures, a few at a time.
--
-- KEYS  1 <list>  2 resqued:bulk
-- ARGV  1 list name  2 how many entries stay, or ''  3 how many go at most
--       4 the last entry that is too old, or ''     5 its index
--
-- Returns how many were removed; none while a bulk operation works on the list, or if
-- the entry does not stand there any more.

if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
local count = 0
if ARGV[2] ~= '' then
  count = math.max(0, redis.call('LLEN', KEYS[1]) - tonumber(ARGV[2]))
elseif redis.call('LINDEX', KEYS[1], ARGV[5]) == ARGV[4] then
  count = tonumber(ARGV[5]) + 1
end
count = math.min(count, tonumber(ARGV[3]))
if count > 0 then redis.call('LTRIM', KEYS[1], count, -1) end
return count

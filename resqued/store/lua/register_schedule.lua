-- Publishes recurring jobs. One that is new, or that was changed, begins now: the ticks
-- that its rule has before were never meant. So does one without a last tick, or with a
-- text that is no time in its place.
--
-- KEYS  1 resqued:schedules  2 resqued:schedules:last
-- ARGV  1 now, in seconds since the epoch  2 name  3 its definition, as JSON
--
-- Returns 1 if it is new or was changed, else 0

local is_new = redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3]
local last = redis.call('HGET', KEYS[2], ARGV[2]) or ''
local is_time = last == '0' or (#last <= 12 and string.match(last, '^[1-9]%d*$'))
if is_new or not is_time then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
return is_new and 1 or 0

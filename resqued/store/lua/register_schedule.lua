-- Publishes recurring jobs. One that is new, or that was changed, begins now: the ticks
-- that its rule has before were never meant.
--
-- KEYS  1 resqued:schedules  2 resqued:schedules:last
-- ARGV  1 now, in seconds since the epoch  2 name  3 its definition, as JSON
--
-- Returns 1 if it is new or was changed, else 0

local is_new = redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3]
if is_new or redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
return is_new and 1 or 0

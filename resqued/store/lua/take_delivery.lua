-- Takes the next failure of an outbox for delivery, and renews the lease of the caller.
--
-- KEYS  1 resqued:outbox:owner:<backend>  2 resqued:outbox:hand:<backend>
--       3 resqued:outbox:<backend>        4 resqued:outbox:dropped
-- ARGV  1 token of the caller  2 milliseconds of the lease  3 back end
--
-- Returns {0} if another process has the lease; else
--         {1, how many were dropped, element or false}: the element is in the hand

local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])

local dropped = tonumber(redis.call('HGET', KEYS[4], ARGV[3]) or '0')
if dropped > 0 then redis.call('HDEL', KEYS[4], ARGV[3]) end

local element = redis.call('LINDEX', KEYS[2], 0)
if not element then
  element = redis.call('LPOP', KEYS[3])
  if element then redis.call('RPUSH', KEYS[2], element) end
end
return {1, dropped, element}

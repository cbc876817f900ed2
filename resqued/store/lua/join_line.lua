-- Puts a master at the end of the line of a queue list, or keeps it there.
--
-- KEYS  1 resqued:line:<list>
-- ARGV  1 number of its connection  2 seconds after which a line that nobody keeps ends
--       3 '1' to keep a place only
--
-- Returns the length of the line; 0 if a place was to be kept and is gone. A key of
-- another type is a line that nobody else stands in.

if ARGV[3] == '1' then
  if type(redis.pcall('LPOS', KEYS[1], ARGV[1])) ~= 'number' then return 0 end
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  return redis.call('LLEN', KEYS[1])
end
local length = redis.pcall('RPUSH', KEYS[1], ARGV[1])
if type(length) == 'table' then
  return string.find(length.err, 'WRONGTYPE', 1, true) and 1 or length
end
-- A longer line is kept by those who stand in it.
if length == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return length

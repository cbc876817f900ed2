-- Calls masters that wait in the line of a queue list to look at their queues.
--
-- KEYS  1 resqued:line:<list>
-- ARGV  1 how many to call  2 what channels begin with  3 queue list
--
-- Returns how many were reached. A master that has gone has no connection that is
-- subscribed to its channel: the next one is called in its place. A key of another type
-- is an empty line.

local reached = 0
while reached < tonumber(ARGV[1]) do
  local id = redis.pcall('LPOP', KEYS[1])
  if type(id) == 'table' and not string.find(id.err, 'WRONGTYPE', 1, true) then
    return id
  end
  if type(id) ~= 'string' then break end
  if redis.call('PUBLISH', ARGV[2] .. id, ARGV[3]) > 0 then reached = reached + 1 end
end
return reached

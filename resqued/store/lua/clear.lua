-- Deletes a list and returns its length, in one step: elements that are added later
-- are kept.
--
-- KEYS  1 the list
--
-- Returns how many elements were removed

local length = redis.call('LLEN', KEYS[1])
redis.call('UNLINK', KEYS[1])
return length

-- Deletes a list and says how long it was: what arrives in between is kept.
--
-- KEYS  1 the list
--
-- Answers how many elements were removed

local length = redis.call('LLEN', KEYS[1])
redis.call('UNLINK', KEYS[1])
return length

-- Moves a job to the head of its queue, so that it is the next one to be taken. Of
-- equal jobs, the one nearest to the head is moved.
--
-- KEYS  1 queue:<name>
-- ARGV  1 job
--
-- Returns 1 moved | 0 there is no such job any more

if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[1], ARGV[1])
return 1

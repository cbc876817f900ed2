-- Enqueues the job of a failure again and marks the failure as retried. The failure
-- is found by its content, so of two calls with the same content the second finds
-- nothing.
--
-- KEYS  1 failed  2 queues  3 queue:<name>
-- ARGV  1 failure entry  2 the entry with retried_at  3 queue name  4 job
--       5 where it stood when it was read (its index), as a hint; or -1
--
-- Returns 1 retried | 0 there is no such failure any more | an error, and nothing was
-- written

-- include retry_failure
local index, problem = retry_failure(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[5],
  ARGV[3], ARGV[4])
if problem then return problem end
if not index then return 0 end
redis.call('LSET', KEYS[1], index, ARGV[2])
return 1

-- Enqueues the job of a failure again and removes the failure, in one step. The failure
-- is found by its content, so of two calls the second finds nothing.
--
-- KEYS  1 failed  2 queues  3 queue:<name>
-- ARGV  1 failure entry  2 queue name  3 job
--       4 where it stood when it was read (its index), as a hint; or -1
--
-- Returns 1 retried | 0 there is no such failure any more | an error, and nothing was
-- written

-- include retry_failure
local index, problem = retry_failure(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[4],
  ARGV[2], ARGV[3])
if problem then return problem end
if not index then return 0 end
-- From the nearer end: LREM compares each entry that it passes.
local is_near_head = index * 2 < redis.call('LLEN', KEYS[1])
redis.call('LREM', KEYS[1], is_near_head and 1 or -1, ARGV[1])
return 1

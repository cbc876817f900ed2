-- Records a failure that belongs to no run of a worker.
--
-- KEYS  1 failed  2 resqued:failed
-- ARGV  1 failure entry, with its address
--
-- Returns 1 recorded | 2 recorded aside, because the list is of another type

-- include push_failure

return push_failure(KEYS[1], KEYS[2], ARGV[1])

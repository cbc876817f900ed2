-- Takes one delayed item off its time, and puts it where it belongs: on its queue,
-- among the failures, or nowhere. Nothing happens if it is not there any more.
--
-- KEYS  1 delayed_queue_schedule  2 delayed:<time>  3 timestamps:<item>
--       4 queue:<name> (or failed)  5 queues  6 stat:failed  7 stat:processed
--       8 resqued:failed
-- ARGV  1 time                    2 item
--       3 what is put there, or '' to cancel the item; a failure has its address
--       4 name of the queue, or '' for a failure
--
-- Returns 1, or 0 if the item was not there.

-- include push_failure

local places = redis.call('LPOS', KEYS[2], ARGV[2])
if not places then return 0 end

if ARGV[3] ~= '' then
  -- First what may fail.
  local added = ARGV[4] == '' and push_failure(KEYS[4], KEYS[8], ARGV[3])
    or redis.pcall('RPUSH', KEYS[4], ARGV[3])
  if type(added) == 'table' then return added end
  if ARGV[4] == '' then
    redis.pcall('INCR', KEYS[6])
    redis.pcall('INCR', KEYS[7])
  else
    redis.call('SADD', KEYS[5], ARGV[4])
  end
end
redis.call('LREM', KEYS[2], 1, ARGV[2])
-- The set has one member for equal items of one time.
if not redis.call('LPOS', KEYS[2], ARGV[2]) then
  redis.call('SREM', KEYS[3], 'delayed:' .. ARGV[1])
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 1

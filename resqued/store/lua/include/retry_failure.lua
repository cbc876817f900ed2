-- Finds a failure by its content and enqueues its job. Part of other scripts.
--
-- failed, queues, queue: the keys; entry: the failure; hint: the index at which it was
-- read, or -1; name: that of the queue.
--
-- Returns its index | nil, and then there is no such failure any more | nil and an
-- error, and then nothing was written.
local function retry_failure(failed, queues, queue, entry, hint, name, job)
  local index = tonumber(hint)
  if index < 0 or redis.call('LINDEX', failed, index) ~= entry then
    index = redis.call('LPOS', failed, entry)
  end
  if not index then return nil end
  -- First what may fail: the key of the queue may be no list, the memory may be full.
  local pushed = redis.pcall('RPUSH', queue, job)
  if type(pushed) == 'table' then return nil, pushed end
  -- An error here changes nothing: the job is in its queue.
  redis.pcall('SADD', queues, name)
  return index
end

-- Removes a dead worker from the registry. The job that it held is recorded as failed,
-- or is put back, if that is asked for and attempts are left. All that is done only if
-- its keys still have the values that the caller judged it by; else does nothing.
--
-- KEYS  1 workers  2 worker:<id>  3 worker:<id>:started  4 workers:heartbeat
--       5 resqued:workers  6 stat:processed:<id>  7 stat:failed:<id>
--       8 stat:processed  9 stat:failed  10 failed  11 worker:ping:<name>
--       12 resqued:failed (failures, when `failed` is no list)
--       13 resque-retry:<job> (the number of the last attempt)
--       14 failure-resque-retry:<job>  15 resqued:retry:<job>
--       16 delayed_queue_schedule  17 queues  18 queue:<name>
--       19 resqued:followed
-- ARGV  1 id  2 identity or ''  3 heartbeat or ''  4 record or ''
--       5 failure entry, with its address, or ''  6 ping of node-resque or ''
--       7 'fail', or 'retry' to have the job wait, or 'requeue' for the head of its
--         queue    8 'all' to keep the entry of such a job in `failed`
--       9 how many attempts may follow the first one  10 seconds to wait
--       11 seconds that counters are kept  12 prefix of all keys
--       13 name of the queue  14 payload  15 the same as a delayed item
--       16 name of the job, or ''  17 how many deaths in a row set it aside; 0: none do
--       18 what is kept of this death, as JSON
--
-- Returns 1 reclaimed | 3 reclaimed, and its job was put back | 4 reclaimed, and its job
-- was set aside | 0 changed meanwhile | 2 nothing was left

-- include push_failure
-- include delay
-- include forget
-- include deaths

local identity = redis.call('HGET', KEYS[5], ARGV[1]) or ''
local heartbeat = redis.call('HGET', KEYS[4], ARGV[1]) or ''
local record = redis.pcall('GET', KEYS[2]) or ''
-- A key of another type holds no job: it goes with the worker.
if type(record) == 'table' then record = '' end
if identity == '' and heartbeat == '' and record == ''
  and redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  return 2
end
local ping = redis.pcall('GET', KEYS[11]) or ''
if type(ping) == 'table' then ping = '' end
if identity ~= ARGV[2] or heartbeat ~= ARGV[3] or record ~= ARGV[4]
  or ping ~= ARGV[6] then
  return 0
end

-- Puts the job back; returns false if it cannot wait there, because of a type.
local function put_back()
  if ARGV[7] == 'requeue' or tonumber(ARGV[10]) <= 0 then
    local added
    if ARGV[7] == 'requeue' then
      added = redis.pcall('LPUSH', KEYS[18], ARGV[14])
    else
      added = redis.pcall('RPUSH', KEYS[18], ARGV[14])
    end
    if type(added) == 'table' then return false, added end
    redis.pcall('SADD', KEYS[17], ARGV[13])
    return true
  end
  local due = delay(ARGV[12], KEYS[16], server_time() + tonumber(ARGV[10]), ARGV[15])
  if type(due) == 'table' then return false, due end
  return true
end

local is_back, is_aside, err = false, false, nil
if ARGV[5] ~= '' and ARGV[16] ~= '' and ARGV[17] ~= '0' then
  local names, entry = read_address(ARGV[5])
  is_aside, err = count_death(ARGV[12], KEYS[19], record, ARGV[16],
    tonumber(ARGV[17]), ARGV[18], entry)
  if err then return err end
  if is_aside then
    address_outboxes(ARGV[12], names, entry)
    redis.pcall('INCR', KEYS[8])
    redis.pcall('INCR', KEYS[9])
    redis.call('DEL', KEYS[13], KEYS[14], KEYS[15])
  end
end
if not is_aside and ARGV[5] ~= '' and ARGV[7] ~= 'fail' and ARGV[14] ~= '' then
  local before = redis.pcall('GET', KEYS[13])
  before = type(before) == 'string' and tonumber(before) or -1
  -- The attempt that has died has number before + 2, from 1.
  if before + 2 <= tonumber(ARGV[9]) then is_back, err = put_back() end
  if err and not string.find(err.err, 'WRONGTYPE', 1, true) then return err end
  if is_back then
    redis.call('SET', KEYS[13], string.format('%d', before + 1), 'EX', ARGV[11])
    if ARGV[8] == 'all' then
      push_failure(KEYS[10], KEYS[12], ARGV[5])
    else
      local _, entry = read_address(ARGV[5])
      redis.call('SET', KEYS[14], entry, 'EX', ARGV[11])
    end
    redis.pcall('INCR', KEYS[8])
    redis.pcall('INCR', KEYS[9])
  end
end
if ARGV[5] ~= '' and not (is_back or is_aside) then
  -- First what may fail. If `failed` is no list, the entry goes beside it; a counter
  -- that is no number stays as it is.
  local added = push_failure(KEYS[10], KEYS[12], ARGV[5])
  if type(added) == 'table' then return added end
  redis.pcall('INCR', KEYS[8])
  redis.pcall('INCR', KEYS[9])
  redis.call('DEL', KEYS[13], KEYS[14], KEYS[15])
end
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[6], KEYS[7])
return is_aside and 4 or is_back and 3 or 1

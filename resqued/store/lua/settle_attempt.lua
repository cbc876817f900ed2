-- Settles a run of a job that may be tried again: records the outcome, and has the next
-- attempt wait for its time, in one step on the server. Safe to repeat when the reply
-- was lost, as in reserve.lua: a run is identified by its number.
--
-- KEYS  1 worker:<id>          2 stat:processed   3 stat:processed:<id>
--       4 stat:failed          5 stat:failed:<id> 6 failed
--       7 resqued:workers      8 resqued:failed (failures, when `failed` is no list)
--       9 resque-retry:<job> (the number of the last attempt)
--       10 failure-resque-retry:<job> (the failure of the last attempt)
--       11 resqued:retry:<job> (when the first attempt began)
--       12 delayed_queue_schedule 13 queues       14 queue:<name>
--       15 resqued:followed
-- ARGV  1 worker id            2 identity         3 run to settle
--       4 'done', 'failed' or 'retry'
--       5 failure entry, with its address, or ''
--       6 'all' to keep the entry of an attempt that another one follows in `failed`
--       7 number of the attempt, from 1; '' if nobody knows: the counter does
--       8 seconds until the next attempt           9 seconds that counters are kept
--       10 when the first attempt began, or ''
--       11 prefix of all keys   12 name of the queue
--       13 payload              14 the same as a delayed item
--       15 name of the job
--       16 how many deaths in a row set the job aside, if the run has killed its child;
--          0 if such a death does not count; '' if it has not killed it
--       17 what is kept of such a death, as JSON
--
-- Returns 1 recorded | 2 recorded with the failure entry beside `failed` |
-- 3 the next attempt waits | 4 the job was set aside | 0 it was recorded before | -1 the run is not this worker's

-- What may fail comes before what is written.

-- include push_failure
-- include delay
-- include forget
-- include deaths

local function increase(key)
  redis.pcall('INCR', key)
end

local function is_wrong_type(reply)
  return type(reply) == 'table' and reply.err
    and string.find(reply.err, 'WRONGTYPE', 1, true) ~= nil
end

if redis.call('HGET', KEYS[7], ARGV[1]) ~= ARGV[2] then return -1 end
local run = tonumber(ARGV[3])
-- Without a number, because somebody has deleted the counter, the record decides: the
-- worker has asked for no other job since.
local text = redis.pcall('GET', KEYS[3])
local now = type(text) == 'string' and tonumber(text) or nil
if now and now ~= run then return now > run and 0 or -1 end
local held = redis.pcall('GET', KEYS[1])
if not held then return -1 end
if not now then redis.call('SET', KEYS[3], ARGV[3]) end

-- Returns the result of a push; an error that is no matter of types ends the script.
local function push(key, value)
  local added = redis.pcall('RPUSH', key, value)
  if type(added) == 'table' and not is_wrong_type(added) then return nil, added end
  return type(added) == 'number'
end

-- Has the next attempt wait, or puts it on its queue at once. Returns as push does.
local function schedule()
  local wait = tonumber(ARGV[8])
  if wait <= 0 then
    local is_there, err = push(KEYS[14], ARGV[13])
    if is_there then redis.pcall('SADD', KEYS[13], ARGV[12]) end
    return is_there, err
  end
  local due = delay(ARGV[11], KEYS[12], server_time() + wait, ARGV[14])
  if type(due) ~= 'table' then return true end
  if is_wrong_type(due) then return false end
  return nil, due
end

-- Records the failure. If its list is none, the entry goes beside it.
local function record()
  local added = push_failure(KEYS[6], KEYS[8], ARGV[5])
  if type(added) == 'table' then return nil, added end
  return added
end

local settled, err = 1, nil
local follows, is_aside = false, false
local text_held = type(held) == 'string' and held or ''
if ARGV[16] ~= '' and ARGV[16] ~= '0' then
  local names, entry = read_address(ARGV[5])
  is_aside, err = count_death(ARGV[11], KEYS[15], text_held, ARGV[15], tonumber(ARGV[16]),
    ARGV[17], entry)
  if err then return err end
  if is_aside then address_outboxes(ARGV[11], names, entry) end
elseif ARGV[16] == '' then
  forget(ARGV[11], KEYS[15], payload_in(text_held), false)
end
if is_aside then
  settled = 4
  redis.call('DEL', KEYS[9], KEYS[10], KEYS[11])
elseif ARGV[4] == 'retry' then
  -- Where the next attempt cannot wait, because a key is of another type, the job has
  -- failed: it is not lost.
  follows, err = schedule()
  if err then return err end
end
if follows then
  settled = 3
  local attempt = tonumber(ARGV[7])
  if not attempt then
    -- Nobody reads the counter at the next run, so that run has to be told.
    follow(ARGV[11], KEYS[15], ARGV[13], ARGV[15], ARGV[9])
    local before = redis.pcall('GET', KEYS[9])
    attempt = (type(before) == 'string' and tonumber(before) or -1) + 2
  end
  redis.call('SET', KEYS[9], string.format('%d', attempt - 1), 'EX', ARGV[9])
  if ARGV[10] ~= '' then redis.call('SET', KEYS[11], ARGV[10], 'EX', ARGV[9]) end
  if ARGV[6] == 'all' then
    record()
  else
    local _, entry = read_address(ARGV[5])
    redis.call('SET', KEYS[10], entry, 'EX', ARGV[9])
  end
elseif not is_aside then
  if ARGV[5] ~= '' then
    settled, err = record()
    if err then return err end
  end
  redis.call('DEL', KEYS[9], KEYS[10], KEYS[11])
end
redis.call('DEL', KEYS[1])
increase(KEYS[3])
increase(KEYS[2])
if ARGV[5] ~= '' then
  increase(KEYS[4])
  increase(KEYS[5])
end
return settled

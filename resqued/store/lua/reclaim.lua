-- Removes a dead worker from the registry and records the job it held as failed, if
-- its keys still have the values that the caller judged it by; else does nothing.
--
-- KEYS  1 workers  2 worker:<id>  3 worker:<id>:started  4 workers:heartbeat
--       5 resqued:workers  6 stat:processed:<id>  7 stat:failed:<id>
--       8 stat:processed  9 stat:failed  10 failed  11 worker:ping:<name>
--       12 resqued:failed (failures, when `failed` is no list)
-- ARGV  1 id  2 identity or ''  3 heartbeat or ''  4 record or ''
--       5 failure entry, with its address, or ''  6 ping of node-resque or ''
--
-- Returns 1 reclaimed | 0 changed meanwhile | 2 nothing was left

-- include push_failure

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

if ARGV[5] ~= '' then
  -- First what may fail. If `failed` is no list, the entry goes beside it; a counter
  -- that is no number stays as it is.
  local added = push_failure(KEYS[10], KEYS[12], ARGV[5])
  if type(added) == 'table' then return added end
  redis.pcall('INCR', KEYS[8])
  redis.pcall('INCR', KEYS[9])
end
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[6], KEYS[7])
return 1

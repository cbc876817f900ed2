-- Moves delayed items that are due to their queues: one batch, in one step on the
-- server, which neither loses an item nor moves it twice. The caller becomes, or stays,
-- the elected master.
--
-- KEYS  1 delayed_queue_schedule  2 queues  3 resqued:scheduler
--       4 <namespace>:resque_scheduler_master_lock
-- ARGV  1 prefix of all keys      2 caller  3 milliseconds of the lease
--       4 how many items a batch has
--
-- Returns {state, milliseconds, seconds, microseconds, moved, odd…}
-- State: 'idle'     nothing waits
--        'elected'  the caller is elected
--        'standby'  another master is elected, for so many milliseconds
--        'foreign'  resque-scheduler has its lock, for so many milliseconds
-- seconds, microseconds: the clock of the server
-- odd: time, item and reason, of an item that has no form of those below and that the
--      caller must judge; it stays where it is. The time alone: its key is no list, and
--      the time was removed.

-- A batch ends after so many bytes too.
local ROOM = 1048576

local clock = redis.call('TIME')
local holder = redis.call('GET', KEYS[3])

if redis.call('EXISTS', KEYS[1]) == 0 then
  if holder == ARGV[2] then redis.call('DEL', KEYS[3]) end
  return {'idle', 0, clock[1], clock[2], 0}
end
-- resque-scheduler reads a batch before it watches its key: it must be alone.
local foreign = redis.call('PTTL', KEYS[4])
if foreign ~= -2 then
  return {'foreign', foreign, clock[1], clock[2], 0}
end
if holder and holder ~= ARGV[2] then
  return {'standby', redis.call('PTTL', KEYS[3]), clock[1], clock[2], 0}
end
-- The first write: a server without memory refuses it, before anything has changed.
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])

-- Returns queue and payload of an item as Ruby, resqued and node-resque write it: the
-- payload is the item without its queue. In JSON text these ends and beginnings cannot
-- be part of a longer string. Returns nothing for other texts.
local function parts(item)
  local head, queue = string.match(item, '^({"class":".*),"queue":"([^"\\]+)"}$')
  if head then return queue, head .. '}' end
  local class, name, tail =
    string.match(item, '^{"class":"([^"\\]*)","queue":"([^"\\]+)",("args":.*)$')
  if class then return name, '{"class":"' .. class .. '",' .. tail end
end

local left = tonumber(ARGV[4])
local room = ROOM
local moved = 0
local odd = {}
local known = {}

-- Moves items of one time, and returns how many; adds to `odd` the one it stopped at.
local function move(time, items)
  for number, item in ipairs(items) do
    local queue, payload = parts(item)
    if not queue then
      odd = {time, item, ''}
      return number - 1
    end
    local pushed = redis.pcall('RPUSH', ARGV[1] .. 'queue:' .. queue, payload)
    if type(pushed) == 'table' then
      odd = {time, item, pushed.err}
      return number - 1
    end
    if not known[queue] then
      known[queue] = true
      redis.pcall('SADD', KEYS[2], queue)
    end
    redis.pcall('SREM', ARGV[1] .. 'timestamps:' .. item, 'delayed:' .. time)
    room = room - #item
  end
  return #items
end

-- Moves what is due at one time. Few items are read at first: their size is not known.
local function move_all(time)
  local list = ARGV[1] .. 'delayed:' .. time
  local chunk = 1
  while left > 0 and room > 0 and not odd[1] do
    local items = redis.pcall('LRANGE', list, 0, math.min(chunk, left) - 1)
    if items.err then
      redis.call('ZREM', KEYS[1], time)
      odd = {time}
      return
    end
    if #items == 0 then
      redis.call('ZREM', KEYS[1], time)
      return
    end
    local count = move(time, items)
    if count > 0 then redis.call('LTRIM', list, count, -1) end
    moved = moved + count
    left = left - count
    chunk = math.min(chunk * 2, 256)
  end
  if not odd[1] and redis.call('EXISTS', list) == 0 then
    redis.call('ZREM', KEYS[1], time)
  end
end

while left > 0 and room > 0 and not odd[1] do
  local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', clock[1], 'LIMIT', 0, 1)
  if not due[1] then break end
  move_all(due[1])
end

if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('DEL', KEYS[3]) end
return {'elected', tonumber(ARGV[3]), clock[1], clock[2], moved, unpack(odd)}

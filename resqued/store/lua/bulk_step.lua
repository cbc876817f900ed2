-- One step of a bulk operation on a list: takes the chunk that the caller has judged
-- off the end where the operation works, appends what stays to the staged elements,
-- enqueues what is retried, and reads the next chunk. One script, so that an element is
-- in one list at every time, and a retry is enqueued exactly when it is marked.
--
-- An operation from the tail takes elements that come after those which workers take.
-- The list is then: elements not judged yet, late ones; the staged elements belong in
-- between. The last element that is not judged has 32 characters of white space at its
-- end, the mark: the elements behind it are late, and each step moves them to the end
-- of the staged ones. White space behind JSON means nothing, so a worker may run it.
--
-- An operation from the head is for a list of which nobody takes the head. The staged
-- elements belong before the list.
--
-- KEYS  1 <list>  2 resqued:bulk  3 resqued:bulk:owner:<list>
--       4 resqued:bulk:staged:<list>  5 queues
--       6… the queues of the jobs to enqueue
-- ARGV  1 list name  2 token  3 lease in ms  4 head or tail  5 mark
--       6 '1' if the caller has begun  7 size of the chunk  8 its digest
--       9 decisions  10 how many to read
--       11 how many elements come before the end of the operation, or 0 if it ends with
--       the list  12 the digest of the last of them  13 how many bytes to read, about
--       then, for each decision r or x: entry, number of its queue key, queue name, job
--
-- decisions: one letter for each element: k stays, d is removed, r is retried, x is
-- retried and removed.
--
-- Returns {'busy'} another caller works | {'left'} one left it unfinished |
-- {'lost'} another has put all back | {'astray'} the mark is gone |
-- {'moved'} others have moved the end; nothing was taken |
-- {'more', applied, refused, chunk, spent} | {'done', applied, refused}
-- applied: 1, or 0 if the chunk has changed and nothing was taken. refused: how many
-- retries had a queue whose key is no list. spent: the time of this step in
-- microseconds: that of the processor, or on servers whose scripts have no os, such as
-- Redis 7.0, that of the clock; 0 where TIME stands still in a script.

local has_os, processor = pcall(function() return os.clock end)
local function clock()
  if has_os and processor then return processor() * 1e6 end
  local now = redis.call('TIME')
  return now[1] * 1e6 + now[2]
end
local began = clock()
local list, bulk, owner, staged = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, token, from_tail = ARGV[1], ARGV[2], ARGV[4] == 'tail'
local size, most = tonumber(ARGV[7]), tonumber(ARGV[10])
-- How many late elements one step moves, in time and in room on Lua's stack.
local LATE, SLICE = 5000, 1000
-- How many elements are read at a time.
local PART = 16

local holder = redis.call('GET', owner)
if holder and holder ~= token then
  return {'busy'}
end
local state = redis.call('HGET', bulk, name)
local mark = ''
if state then
  local by, _, text = string.match(state, '^(%S+) (%S+) (.*)$')
  if by ~= token then return {'left'} end
  mark = text
elseif ARGV[6] == '1' then
  return {'lost'}
end

local function append(items)
  for first = 1, #items, SLICE do
    redis.call('RPUSH', staged, unpack(items, first, math.min(first + SLICE - 1, #items)))
  end
end

local function backwards(items)
  local turned = {}
  for i = #items, 1, -1 do turned[#turned + 1] = items[i] end
  return turned
end

local function original(text)
  if mark ~= '' and text == mark then return string.sub(text, 1, -33) end
  return text
end

-- First what reads, and what may fail.
redis.call('LLEN', staged)
local before_end = tonumber(ARGV[11])
if before_end > 0 then
  local last = redis.call('LINDEX', list, before_end - 1)
  if not last or redis.sha1hex(last) ~= ARGV[12] then return {'moved'} end
end
local length = redis.call('LLEN', list)
local edge = length
if mark ~= '' then
  local at = redis.call('LPOS', list, mark, 'RANK', -1, 'MAXLEN', LATE + 1)
  if not at then return {'astray'} end
  edge = at + 1
end
local chunk = {}
if size > 0 and size <= edge then
  if from_tail then
    chunk = redis.call('LRANGE', list, edge - size, edge - 1)
    chunk[size] = original(chunk[size])
  else
    chunk = redis.call('LRANGE', list, 0, size - 1)
  end
end
local applied = 0
if #chunk == size and redis.sha1hex(table.concat(chunk, '\0')) == ARGV[8] then
  applied = 1
end

local kept, refused, next_retry = {}, 0, 14
if applied == 1 then
  for i = 1, size do
    local decision = string.sub(ARGV[9], i, i)
    if decision == 'r' or decision == 'x' then
      local entry, key = ARGV[next_retry], KEYS[tonumber(ARGV[next_retry + 1])]
      local pushed = redis.pcall('RPUSH', key, ARGV[next_retry + 3])
      if type(pushed) == 'table' then
        if not string.find(pushed.err, 'WRONGTYPE', 1, true) then
          -- Nothing was taken yet. It can only be the first, for want of memory.
          return pushed
        end
        refused = refused + 1
        entry, decision = chunk[i], 'k'
      else
        redis.pcall('SADD', KEYS[5], ARGV[next_retry + 2])
      end
      next_retry = next_retry + 4
      if decision ~= 'x' then kept[#kept + 1] = entry end
    elseif decision == 'k' then
      kept[#kept + 1] = chunk[i]
    end
  end
end

-- DEL comes first: a server without memory lets a script continue that has begun so.
redis.call('DEL', owner)
redis.call('SET', owner, token, 'PX', ARGV[3])
if edge < length then
  local late = redis.call('LRANGE', list, edge, -1)
  redis.call('LTRIM', list, 0, edge - 1)
  append(late)
end
if applied == 1 and size > 0 then
  if not from_tail then
    redis.call('LTRIM', list, size, -1)
    append(kept)
  else
    if size == edge then
      redis.call('DEL', list)
    else
      redis.call('LTRIM', list, 0, edge - size - 1)
    end
    if #kept > 0 then redis.call('LPUSH', staged, unpack(backwards(kept))) end
  end
end

if redis.call('LLEN', list) == 0 then
  if redis.call('EXISTS', staged) == 1 then redis.call('RENAME', staged, list) end
  redis.call('HDEL', bulk, name)
  redis.call('DEL', owner)
  return {'done', applied, refused}
end

-- Reads from the end where the operation works until there is enough, because one
-- element may have megabytes.
local function next_chunk()
  local found, bytes, room = {}, 0, tonumber(ARGV[13])
  while #found < most and bytes < room do
    local first, last = #found, math.min(#found + PART, most) - 1
    if from_tail then first, last = -1 - last, -1 - first end
    local part = redis.call('LRANGE', list, first, last)
    if #part == 0 then break end
    for i = 1, #part do
      local each = part[from_tail and #part + 1 - i or i]
      found[#found + 1] = each
      bytes = bytes + #each
    end
  end
  return found
end

local read
if from_tail then
  local last = original(redis.call('LINDEX', list, -1))
  mark = last .. ARGV[5]
  redis.call('LSET', list, -1, mark)
  read = backwards(next_chunk())
  read[#read] = last
else
  read = next_chunk()
end
redis.call('HSET', bulk, name, token .. ' ' .. ARGV[4] .. ' ' .. mark)
return {'more', applied, refused, read, math.floor(clock() - began)}

-- Puts staged elements of a bulk operation back to their place in the list, some at a
-- time; for the end of an operation, and for one whose caller has died.
--
-- KEYS  1 <list>  2 resqued:bulk  3 resqued:bulk:owner:<list>
--       4 resqued:bulk:staged:<list>
-- ARGV  1 list name  2 token  3 lease in ms  4 mark  5 how many to move, up to 1,000
--       6 how many bytes to move, about
--
-- Returns {'busy'} another caller works | {'more', 1} | {'done', 1} all is back |
-- {'done', 0} nothing was staged

local list, bulk, owner, staged = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, token, most = ARGV[1], ARGV[2], tonumber(ARGV[5])
local LATE, SLICE = 5000, 1000

local holder = redis.call('GET', owner)
if holder and holder ~= token then
  return {'busy'}
end
local state = redis.call('HGET', bulk, name)
if not state then
  if holder then redis.call('DEL', owner) end
  return {'done', 0}
end
local _, side, mark = string.match(state, '^(%S+) (%S+) (.*)$')
redis.call('LLEN', staged)
local length = redis.call('LLEN', list)
local at = false
if mark ~= '' then
  at = redis.call('LPOS', list, mark, 'RANK', -1, 'MAXLEN', LATE + 1)
end
-- DEL comes first, as in bulk_step.lua.
redis.call('DEL', owner)
redis.call('SET', owner, token, 'PX', ARGV[3])

local function append(key, items)
  for first = 1, #items, SLICE do
    redis.call('RPUSH', key, unpack(items, first, math.min(first + SLICE - 1, #items)))
  end
end

-- Returns how many elements at an end of a list have about so many bytes; at least one.
local function fitting(from, step)
  local count, bytes = 0, 0
  while count < most and bytes < tonumber(ARGV[6]) do
    local each = redis.call('LINDEX', from, step * count + math.min(step, 0))
    if not each then break end
    count, bytes = count + 1, bytes + #each
  end
  return math.max(1, count)
end

-- Moves elements from the head of one list to the tail of another.
local function move(from, to)
  local count = fitting(from, 1)
  local items = redis.call('LRANGE', from, 0, count - 1)
  redis.call('LTRIM', from, count, -1)
  append(to, items)
end

local is_done = false
if at then
  -- Some elements were not judged: the staged ones come after them, before late ones.
  if at + 1 < length then
    local late = redis.call('LRANGE', list, at + 1, -1)
    redis.call('LTRIM', list, 0, at)
    append(staged, late)
  end
  redis.call('LSET', list, -1, string.sub(mark, 1, -33))
  move(staged, list)
  mark = ''
  is_done = redis.call('LLEN', staged) == 0
  if not is_done then
    mark = redis.call('LINDEX', list, -1) .. ARGV[4]
    redis.call('LSET', list, -1, mark)
  end
else
  -- All that was not judged is gone, or all before the list was: they come first.
  side, mark = 'head', ''
  if length <= redis.call('LLEN', staged) then
    move(list, staged)
    is_done = redis.call('LLEN', list) == 0
    if is_done and redis.call('EXISTS', staged) == 1 then
      redis.call('RENAME', staged, list)
    end
  else
    local count = fitting(staged, -1)
    local items = redis.call('LRANGE', staged, -count, -1)
    redis.call('LTRIM', staged, 0, -count - 1)
    local backwards = {}
    for i = #items, 1, -1 do backwards[#backwards + 1] = items[i] end
    if #items > 0 then redis.call('LPUSH', list, unpack(backwards)) end
    is_done = redis.call('LLEN', staged) == 0
  end
end

if is_done then
  redis.call('HDEL', bulk, name)
  redis.call('DEL', owner)
  return {'done', 1}
end
redis.call('HSET', bulk, name, token .. ' ' .. side .. ' ' .. mark)
return {'more', 1}

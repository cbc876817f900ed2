-- Decides which classes and queues have series of their own in a period of the history:
-- the first of each kind, at most so many. `c:*` and `q:*` stand for all others.
--
-- KEYS  1 resqued:hist:<period>:names
-- ARGV  1 most names of a kind  2 seconds to keep the names  3 names, each with c: or
--       q: in front…
--
-- Returns for each name 1 it has series of its own | 0 it is counted under `*`

local counts

local function count_names()
  counts = {c = 0, q = 0}
  for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    local kind = string.sub(name, 1, 1)
    if string.sub(name, 2) ~= ':*' then counts[kind] = counts[kind] + 1 end
  end
end

local function has_room(kind)
  if not counts then count_names() end
  if counts[kind] >= tonumber(ARGV[1]) then return false end
  counts[kind] = counts[kind] + 1
  return true
end

local reply = {}
for i = 3, #ARGV do
  local name, kind = ARGV[i], string.sub(ARGV[i], 1, 1)
  local is_own = string.sub(name, 2) == ':*'
    or redis.call('SISMEMBER', KEYS[1], name) == 1
    or has_room(kind)
  redis.call('SADD', KEYS[1], is_own and name or kind .. ':*')
  reply[#reply + 1] = is_own and 1 or 0
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return reply

-- Adds a failure entry to its list, and to what else it is addressed to. Part of other
-- scripts. read_address returns the names of an address, and the entry behind it.
--
-- failed: the key `failed`; aside: resqued:failed, for a list that is of another type.
-- text: the entry, a JSON object; in front of it may stand an address: names, each as
-- `<bytes>:<name>`. The first one is the list (`failed` or `<queue>_failed`), the others
-- are back ends with an outbox.
--
-- Returns 1 recorded | 2 recorded aside | an error, and nothing was written.
-- address_outboxes is for a record that stands elsewhere.
local function read_address(text)
  local names, start = {}, 1
  while true do
    local digits = string.match(text, '^(%d+):', start)
    if not digits then break end
    local first = start + #digits + 1
    start = first + tonumber(digits)
    names[#names + 1] = string.sub(text, first, start - 1)
  end
  return names, start == 1 and text or string.sub(text, start)
end

-- Has the back ends of an address get a failure, whose record exists: nothing fails.
local function address_outboxes(prefix, names, entry)
  local OUTBOX_LENGTH = 10000

  if #names < 2 then return end
  local id = redis.pcall('INCR', prefix .. 'resqued:outbox:id')
  if type(id) == 'table' then id = redis.sha1hex(entry) end
  for i = 2, #names do
    local outbox = prefix .. 'resqued:outbox:' .. names[i]
    local length = redis.pcall('RPUSH', outbox, id .. ':' .. entry)
    if type(length) == 'number' and length > OUTBOX_LENGTH then
      redis.call('LTRIM', outbox, length - OUTBOX_LENGTH, -1)
      redis.pcall('HINCRBY', prefix .. 'resqued:outbox:dropped', names[i],
        length - OUTBOX_LENGTH)
    end
  end
end

local function push_failure(failed, aside, text)
  local prefix = string.sub(failed, 1, -7)
  local names, entry = read_address(text)

  local result, list = 1, prefix .. (names[1] or 'failed')
  local added
  if list ~= failed then
    -- Known names first, as Ruby does it: a list that nobody knows is lost to readers.
    added = redis.pcall('SADD', prefix .. 'failed_queues', names[1])
  end
  if type(added) ~= 'table' then added = redis.pcall('RPUSH', list, entry) end
  if type(added) == 'table' then
    if not string.find(added.err, 'WRONGTYPE', 1, true) then return added end
    redis.call('RPUSH', aside, entry)
    result = 2
  end

  address_outboxes(prefix, names, entry)
  return result
end

-- Settles a run, if the caller names one, and reserves the next job: one step on the
-- server, and safe to repeat when the reply was lost.
--
-- A run is identified by its number: how many runs this worker had settled when the
-- run began (its counter stat:processed:<id>). So a repeated call counts a run once,
-- although two runs may have equal payloads.
--
-- KEYS  1 worker:<id>          2 stat:processed   3 stat:processed:<id>
--       4 stat:failed          5 stat:failed:<id> 6 failed
--       7 resqued:workers      8 pause-all-workers 9 queues
--       10 resqued:failed (failures, when `failed` is no list)
--       11 resqued:followed      12… the queues to try, in order
-- ARGV  1 worker id            2 identity
--       3 run to settle, or '' 4 its failure entry, with its address, or ''
--       5 run_at               6 '1' to reserve, '0' to take no new job; a job that
--                                the worker holds already is returned in both cases
--       7 bytes that a payload may have
--       8 how many queue names follow, as JSON text, one per queue key
--       then '0': try these queues and no others (a static list);
--            '1' and every queue name known to the worker: these are what its
--                wildcards match, if the names are still the same;
--            '2': there were more than MANY names; try these queues, which somebody
--                has found to have jobs
--
-- Returns {settled, state, …}; settled: 1 recorded, 2 recorded with the failure entry
-- beside `failed`, 0 nothing to record, -1 the run is not this worker's any more (it was
-- reclaimed).
-- State: 'unregistered' | 'settled' | 'paused' | 'empty', odd | 'stale', names… |
--        'many' | 'held', record, run |
--        'job', payload, run, number of its queue in the list, odd
-- odd: the number of the first queue whose key is no list, 0 for none.
-- many: there are more than MANY names, too many to compare at each job.
--
-- No payload is decoded here: one of a few megabytes can be such that its value fills
-- the memory of the server.

local MANY = 100
-- Of a payload that is too long to be kept, in bytes.
local HEAD = 1000

-- A key of another type than ours is somebody else's mistake and stops nothing; each
-- place says what happens instead. What may fail comes before what is written, so that
-- no error leaves half a settlement.

-- Returns the value of a string, or false; and true if the key is of another type.
local function get(key)
  local value = redis.pcall('GET', key)
  if type(value) == 'table' then return false, true end
  return value, false
end

-- Adds one to a counter; one that is no number stays as it is.
local function increase(key)
  local value = redis.pcall('INCR', key)
  return type(value) == 'number' and value or nil
end

-- include push_failure
-- include forget

local function is_wrong_type(reply)
  return string.find(reply.err, 'WRONGTYPE', 1, true) ~= nil
end

local settled = 0

local identity = redis.pcall('HGET', KEYS[7], ARGV[1])
if type(identity) == 'table' and identity.err then
  -- Without identities nobody can tell whose run it is: no job begins.
  return redis.error_reply('WRONGTYPE ' .. KEYS[7] .. ' is no hash: another program' ..
    ' uses this key; delete it')
end
if identity ~= ARGV[2] then
  if ARGV[3] ~= '' then settled = -1 end
  return {settled, 'unregistered'}
end

local text, is_odd = get(KEYS[3])
local run = tonumber(text or '0')
if is_odd or (text and not (#text < 16 and string.match(text, '^%d+$'))) then
  -- The worker's own counter: it begins again, at the run that is to be settled.
  run = tonumber(ARGV[3]) or 0
  redis.call('SET', KEYS[3], string.format('%d', run))
end

local held, is_overwritten = get(KEYS[1])

if ARGV[3] ~= '' then
  if (held or is_overwritten) and tonumber(ARGV[3]) == run then
    if ARGV[4] ~= '' then
      -- If `failed` is no list, the entry goes beside it: no failure is forgotten.
      settled = push_failure(KEYS[6], KEYS[10], ARGV[4])
      if type(settled) == 'table' then return settled end
    end
    if held and redis.call('EXISTS', KEYS[11]) == 1 then
      -- The run has not killed its child.
      forget(string.sub(KEYS[6], 1, -7), KEYS[11], payload_in(held), true)
    end
    redis.call('DEL', KEYS[1])
    held = false
    run = increase(KEYS[3])
    increase(KEYS[2])
    if ARGV[4] ~= '' then
      increase(KEYS[4])
      increase(KEYS[5])
    end
    if settled == 0 then settled = 1 end
  elseif tonumber(ARGV[3]) >= run then
    settled = -1
  end
end

if held then return {settled, 'held', held, run} end
if ARGV[6] == '0' then return {settled, 'settled'} end

-- A pattern on a long text takes minutes.
local pause = get(KEYS[8])
if pause and #pause < 64
  and string.lower(string.match(pause, '^%s*(.-)%s*$')) == 'true' then
  return {settled, 'paused'}
end

-- Returns the payload to run: one that is too long is replaced by one that says so. It
-- fails as what it is, in the child, as every element does that is no job.
local function bounded(raw)
  if #raw <= tonumber(ARGV[7]) then return raw end
  local head = string.gsub(string.sub(raw, 1, HEAD), '[^\32-\126]', '?')
  local reason = string.format(
    'payload of %d bytes is longer than max_payload, %s bytes; SHA-1 %s',
    #raw, ARGV[7], redis.sha1hex(raw))
  return '{"class":"Resqued::PayloadError","args":['
    .. cjson.encode(head) .. ',' .. cjson.encode(reason) .. ']}'
end

-- Returns a payload as it stands in the record: its bytes, if they look like an object;
-- else a JSON string of them, so that readers of worker records can parse the record.
-- Only the two ends are looked at.
local function in_record(raw)
  if string.find(raw, '^[ \t\r\n]*{[ \t\r\n]*"')
    and string.find(raw, '}[ \t\r\n]*$', -64) then
    return raw
  end
  return cjson.encode(raw)
end

local queues = tonumber(ARGV[8])
local known = 8 + queues + 1
if ARGV[known] ~= '0' then
  local expected = #ARGV - known
  local members = redis.pcall('SCARD', KEYS[9])
  if type(members) == 'table' then
    if not is_wrong_type(members) then return members end
    -- No set of names is no names.
    members = 0
    if ARGV[known] == '2' or expected > 0 then return {settled, 'stale', {}} end
  end
  if ARGV[known] == '1' then
    if members > MANY then return {settled, 'many'} end
    -- The worker expanded its wildcards from these names. If the set has changed since,
    -- it must expand them again: the order of queues is guaranteed.
    local same = members == expected
    if same and expected > 0 then
      local found = redis.call('SMISMEMBER', KEYS[9], unpack(ARGV, known + 1))
      for _, member in ipairs(found) do
        if member == 0 then same = false end
      end
    end
    if not same then return {settled, 'stale', redis.call('SMEMBERS', KEYS[9])} end
  elseif members <= MANY then
    return {settled, 'stale', redis.call('SMEMBERS', KEYS[9])}
  end
end

local odd = 0
for i = 1, queues do
  local raw = redis.pcall('LPOP', KEYS[11 + i])
  if type(raw) == 'table' then
    if not is_wrong_type(raw) then return raw end
    if odd == 0 then odd = i end
  elseif raw then
    raw = bounded(raw)
    local record = '{"queue":' .. ARGV[8 + i] .. ',"run_at":"' .. ARGV[5]
      .. '","payload":' .. in_record(raw) .. '}'
    redis.call('SET', KEYS[1], record)
    return {settled, 'job', raw, run, i, odd}
  end
end

return {settled, 'empty', odd}

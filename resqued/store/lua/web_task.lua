-- Writes fields of a task of the web front end, if the caller still runs it, and takes,
-- keeps or gives up the turn to change long lists. Of the tasks that wait for the turn,
-- the one that has waited longest takes it; one without a beat waits no more.
--
-- KEYS  1 resqued:web:task:<id>  2 resqued:web:turn  3 resqued:web:line
-- ARGV  1 id of the task  2 the runner that it must have  3 seconds it is kept
--       4 '1' to take or keep the turn, '0' to give it up  5 milliseconds of the turn
--       then field and value…
--
-- Returns {0} the task is gone or another runs it | {1, the last order, 1 or 0: whether
-- the task has the turn}

-- Returns the id of the task that has waited longest; forgets the silent ones.
local function first_in_line(line, now, patience)
  local first, earliest
  local waiting = redis.call('HGETALL', line)
  for i = 1, #waiting, 2 do
    local id, joined, beat = waiting[i], string.match(waiting[i + 1], '^(%S+) (%S+)$')
    joined, beat = tonumber(joined), tonumber(beat)
    if not joined or not beat or now - beat > patience then
      redis.call('HDEL', line, id)
    elseif not first or joined < earliest then
      first, earliest = id, joined
    end
  end
  return first
end

if redis.call('HGET', KEYS[1], 'runner') ~= ARGV[2] then return {0} end
local holder = redis.call('GET', KEYS[2])
local has = 0
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
redis.call('EXPIRE', KEYS[1], ARGV[3])
if ARGV[4] == '1' and holder ~= ARGV[1] then
  local time, patience = redis.call('TIME'), tonumber(ARGV[5])
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  -- What it was when it joined the line, in microseconds, and the beat.
  local before = redis.call('HGET', KEYS[3], ARGV[1]) or ''
  local joined = string.match(before, '^(%d+) ')
    or string.format('%.0f', time[1] * 1e6 + time[2])
  redis.call('HSET', KEYS[3], ARGV[1], joined .. ' ' .. string.format('%.0f', now))
  redis.call('EXPIRE', KEYS[3], math.ceil(patience / 1000))
  local first = first_in_line(KEYS[3], now, patience)
  if not holder and first == ARGV[1] then holder = ARGV[1] end
end
if ARGV[4] == '1' and holder == ARGV[1] then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
  redis.call('HDEL', KEYS[3], ARGV[1])
  has = 1
elseif ARGV[4] ~= '1' then
  redis.call('HDEL', KEYS[3], ARGV[1])
  if holder == ARGV[1] then redis.call('DEL', KEYS[2]) end
end
return {1, redis.call('HGET', KEYS[1], 'wanted') or '', has}

-- Removes delayed items, those first that are due first: one batch.
--
-- KEYS  1 delayed_queue_schedule
-- ARGV  1 prefix of all keys  2 items of a batch
--
-- Returns how many items were removed; -1 if none are left.

local left = tonumber(ARGV[2])
local removed = 0
while left > 0 do
  local time = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if not time then
    if removed == 0 then return -1 end
    break
  end
  local list = ARGV[1] .. 'delayed:' .. time
  local items = redis.pcall('LRANGE', list, 0, left - 1)
  if items.err then items = {} end
  for _, item in ipairs(items) do
    redis.pcall('SREM', ARGV[1] .. 'timestamps:' .. item, 'delayed:' .. time)
  end
  if #items > 0 then redis.call('LTRIM', list, #items, -1) end
  removed = removed + #items
  left = left - math.max(#items, 1)
  if #items == 0 or redis.call('EXISTS', list) == 0 then
    redis.call('ZREM', KEYS[1], time)
  end
end
return removed

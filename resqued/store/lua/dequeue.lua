-- Removes every element that equals one of the given texts.
--
-- KEYS  1 queue:<name>
-- ARGV  the texts
--
-- Returns how many were removed

local removed = 0
for _, text in ipairs(ARGV) do
  removed = removed + redis.call('LREM', KEYS[1], 0, text)
end
return removed

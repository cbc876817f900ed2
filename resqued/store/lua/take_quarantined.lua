-- Takes a job out of the quarantine: puts it back on its queue, or removes it. Its deaths
-- are forgotten. Nothing happens if the entry is not there any more.
--
-- KEYS  1 resqued:quarantine  2 queues  3 queue:<name>  4 resqued:deaths:<job>
-- ARGV  1 entry               2 name of the queue        3 payload, or '' to remove it
--
-- Returns 1, or 0 if the entry was not there.

if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
if ARGV[3] ~= '' then
  local added = redis.pcall('RPUSH', KEYS[3], ARGV[3])
  if type(added) == 'table' then return added end
  redis.call('SADD', KEYS[2], ARGV[2])
end
redis.call('LREM', KEYS[1], 1, ARGV[1])
redis.call('DEL', KEYS[4])
return 1

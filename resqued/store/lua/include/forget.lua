-- Forgets what is known of a job when a run of it has ended without a death. Part of
-- other scripts. reserve.lua has it too: what is defined here is defined for each run.
--
-- followed: the key resqued:followed, a hash of payloads (by their SHA-1) to the names
-- of their jobs: those of which something is known. While it does not exist, a run costs
-- one EXISTS.

-- Returns the payload in the record of a worker, as it stands there.
local function payload_in(record)
  local _, last = string.find(record, '","payload":', 1, true)
  return last and string.sub(record, last + 1, -2) or ''
end

-- Forgets the deaths of the job of a payload, and with `all` its attempts too.
local function forget(prefix, followed, raw, all)
  local digest = redis.sha1hex(raw)
  local job = redis.pcall('HGET', followed, digest)
  if type(job) ~= 'string' then return end
  redis.call('HDEL', followed, digest)
  redis.call('DEL', prefix .. 'resqued:deaths:' .. job)
  if all then
    redis.call('DEL', prefix .. 'resque-retry:' .. job,
      prefix .. 'failure-resque-retry:' .. job, prefix .. 'resqued:retry:' .. job)
  end
end

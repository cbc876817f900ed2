-- Counts the runs of a job that have killed its child or its worker, in a row, and sets
-- the job aside when there were too many. Part of other scripts, after forget.
local QUARANTINED = 10000
local FOLLOWED = 1000
-- In seconds.
local DEATHS_KEPT = 7 * 86400

-- Has the next run of a payload forget what is known of its job.
local function follow(prefix, followed, raw, job, kept)
  local length = redis.pcall('HLEN', followed)
  if type(length) == 'table' or raw == '' then return end
  if length >= FOLLOWED then
    for _, digest in ipairs(redis.call('HKEYS', followed)) do
      local name = redis.call('HGET', followed, digest)
      if redis.call('EXISTS', prefix .. 'resqued:deaths:' .. name,
        prefix .. 'resque-retry:' .. name) == 0 then
        redis.call('HDEL', followed, digest)
        length = length - 1
      end
    end
    -- What is forgotten here expires.
    if length >= FOLLOWED then redis.call('DEL', followed) end
  end
  local left = math.max(redis.call('PTTL', followed) / 1000, tonumber(kept))
  redis.call('HSET', followed, redis.sha1hex(raw), job)
  redis.call('EXPIRE', followed, string.format('%d', left))
end

-- Returns whether a run began after the last death. If it did not, equal jobs ran at the
-- same time, and one event may have ended all of them, such as the loss of a host.
local function is_next(last, record)
  local died_at = last and string.match(last, '^{"died_at":"(%d[^"]*)"')
  local run_at = string.match(record, '"run_at":"(%d[^"]*)"')
  return not (died_at and run_at) or run_at >= died_at
end

-- Counts one more death, and sets the job aside if that makes `limit` in a row. record:
-- that of the worker; death: what is kept of this one, as JSON; entry: the failure entry.
--
-- Returns true if the job was set aside, false if not; or nil and an error, and then
-- nothing was written. A full quarantine takes no more jobs: they fail.
local function count_death(prefix, followed, record, job, limit, death, entry)
  local list = prefix .. 'resqued:deaths:' .. job
  local deaths = redis.pcall('LRANGE', list, -limit, -1)
  if deaths.err then deaths = {} end
  if not is_next(deaths[#deaths], record) then return false end
  if #deaths == limit then table.remove(deaths, 1) end
  deaths[#deaths + 1] = death
  local is_aside = false
  if #deaths >= limit then
    local quarantine = prefix .. 'resqued:quarantine'
    local length = redis.pcall('LLEN', quarantine)
    if type(length) == 'number' and length < QUARANTINED then
      local clock = redis.call('TIME')
      local text = '{"quarantined_at":' .. clock[1] .. ',"failure":' .. entry
        .. ',"deaths":[' .. table.concat(deaths, ',') .. ']}'
      local added = redis.pcall('RPUSH', quarantine, text)
      if type(added) == 'table' then return nil, added end
      is_aside = true
    end
  end
  local count = redis.pcall('RPUSH', list, death)
  if type(count) == 'table' then return is_aside end
  redis.call('LTRIM', list, -limit, -1)
  redis.call('EXPIRE', list, DEATHS_KEPT)
  follow(prefix, followed, payload_in(record), job, DEATHS_KEPT)
  return is_aside
end

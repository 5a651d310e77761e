-- Rotates refresh tokens, each connection its own: BENCH_TOKENS has one "TOKEN CLIENT" a line. Run with as many threads
-- as connections: then a thread has one connection, and the answer it sees is that of what it asked last.
-- The successor goes to the end of the thread's queue: a grant may refresh 60 times at once. Of the lines those from BENCH_FROM
-- to before BENCH_TO count. BENCH_PAUSE: microseconds that each connection waits before it asks again, on average.
local threads = tonumber(os.getenv("BENCH_THREADS"))
local from, to = tonumber(os.getenv("BENCH_FROM")), tonumber(os.getenv("BENCH_TO"))
local counter, all = 0, {}

setup = function(thread)
  thread:set("number", counter)
  counter = counter + 1
  table.insert(all, thread)
end

init = function()
  queue, head, last, failed, asked = {}, 1, 0, 0, nil
  local line_number = 0
  for line in io.lines(os.getenv("BENCH_TOKENS")) do
    if line_number >= from and line_number < to and line_number % threads == number then
      local token, client = line:match("(%S+) (%S+)")
      last = last + 1
      queue[last] = { token, client }
    end
    line_number = line_number + 1
  end
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
end

request = function()
  asked = queue[head]
  queue[head] = nil
  head = head + 1
  local body = "grant_type=refresh_token&client_id=" .. asked[2] .. "&refresh_token=" .. asked[1]
  return wrk.format("POST", nil, nil, body)
end

response = function(status, _, body)
  local successor = status == 200 and body:match('"refresh_token":"([^"]+)"')
  if successor then
    last = last + 1
    queue[last] = { successor, asked[2] }
  else
    failed = failed + 1
  end
end

local pause = tonumber(os.getenv("BENCH_PAUSE") or "")
if pause then
  delay = function() return math.floor(pause / 1000 * 2 * math.random() + math.random()) end
end

done = function(summary, latency)
  local errors, refused = summary.errors, 0
  for _, thread in ipairs(all) do refused = refused + thread:get("failed") end
  io.write(string.format('\nRESULT {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
    refused + errors.connect + errors.read + errors.write + errors.timeout))
end

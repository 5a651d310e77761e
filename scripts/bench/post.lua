-- wrk sends one prepared request over and over: BENCH_METHOD, BENCH_BODY (of BENCH_TYPE) and BENCH_AUTHORIZATION.
wrk.method = os.getenv("BENCH_METHOD") or "GET"
local body = os.getenv("BENCH_BODY")
if body and body ~= "" then
  wrk.body = body
  wrk.headers["Content-Type"] = os.getenv("BENCH_TYPE") or "application/x-www-form-urlencoded"
  wrk.headers["Accept"] = "application/json, text/event-stream"
  wrk.headers["MCP-Protocol-Version"] = "2025-11-25"
end
local authorization = os.getenv("BENCH_AUTHORIZATION")
if authorization and authorization ~= "" then
  wrk.headers["Authorization"] = authorization
end

-- BENCH_BODIES: a file of which each line is sent once, from line BENCH_SKIP on: what counts once cannot be sent again. With one
-- thread; where the lines are used up before the time is, the rest is refused, and the run counts as failed.
local bodies = os.getenv("BENCH_BODIES") or ""
if bodies ~= "" then
  local next_body = io.lines(bodies)
  for _ = 1, tonumber(os.getenv("BENCH_SKIP") or "0") do next_body() end
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  request = function() return wrk.format(nil, nil, nil, next_body() or "") end
end

-- BENCH_PAUSE: microseconds that each connection waits before it asks again, on average; wrk knows milliseconds alone.
local pause = tonumber(os.getenv("BENCH_PAUSE") or "")
if pause then
  delay = function() return math.floor(pause / 1000 * 2 * math.random() + math.random()) end
end

done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('\nRESULT {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

-- Posts each line of BENCH_BODIES once, with BENCH_AUTHORIZATION where there is one: what counts once cannot be sent again.
-- Run with one thread. Where the lines are used up before the time is, the rest is refused and the run counts as failed.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
local authorization = os.getenv("BENCH_AUTHORIZATION")
if authorization and authorization ~= "" then
  wrk.headers["Authorization"] = authorization
end
local next_body = io.lines(os.getenv("BENCH_BODIES"))
for _ = 1, tonumber(os.getenv("BENCH_SKIP") or "0") do next_body() end

request = function()
  return wrk.format(nil, nil, nil, next_body() or "")
end

done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('\nRESULT {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

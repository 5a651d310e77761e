-- wrk posts one prepared tools/call over and over. BENCH_WIRE is 2026-07-28 or 2025-11-25; BENCH_TOKEN_FILE
-- holds the token, or is empty for the server without a guard.
local wire = os.getenv("BENCH_WIRE")
local file = os.getenv("BENCH_TOKEN_FILE")
local modern = wire == "2026-07-28"

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json, text/event-stream"
wrk.headers["MCP-Protocol-Version"] = wire
local meta = ""
if modern then
  wrk.headers["Mcp-Method"] = "tools/call"
  wrk.headers["Mcp-Name"] = "get_public_info"
  meta = ',"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    .. '"io.modelcontextprotocol/clientCapabilities":{},'
    .. '"io.modelcontextprotocol/clientInfo":{"name":"wrk","version":"1"}}'
end
wrk.body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_public_info","arguments":{}' .. meta .. "}}"
if file and file ~= "" then
  local handle = assert(io.open(file))
  wrk.headers["Authorization"] = "Bearer " .. handle:read("*l")
  handle:close()
end

-- BENCH_PAUSE: milliseconds between two calls of one connection.
local pause = tonumber(os.getenv("BENCH_PAUSE") or "")
if pause then
  delay = function() return pause end
end

done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('\nRESULT {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

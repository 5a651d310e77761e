-- wrk posts one tools/call over and over, with what BENCH_CREDENTIALS names: `none` no token, `file:PATH` the token in
-- that file, `each:PATH` the tokens in that file one after the other, each once. The answer must be BENCH_STATUS.
local kind, path = os.getenv("BENCH_CREDENTIALS"):match("^(%a+):?(.*)$")
local wanted = tonumber(os.getenv("BENCH_STATUS"))
local body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_public_info","arguments":{},"_meta":{'
  .. '"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}'
local headers = {
  ["Content-Type"] = "application/json",
  ["Accept"] = "application/json, text/event-stream",
  ["MCP-Protocol-Version"] = "2026-07-28",
  ["Mcp-Method"] = "tools/call",
  ["Mcp-Name"] = "get_public_info",
}
local tokens, place, fixed = {}, 0, nil

function init()
  if kind ~= "none" then
    for line in io.lines(path) do tokens[#tokens + 1] = "Bearer " .. line end
    headers["Authorization"] = tokens[1]
  end
  if kind ~= "each" then fixed = wrk.format("POST", nil, headers, body) end
end

function request()
  if fixed then return fixed end
  place = place + 1
  -- Out of tokens: wrong on purpose, so that the run fails instead of measuring the cache.
  headers["Authorization"] = tokens[place] or "Bearer none-left"
  return wrk.format("POST", nil, headers, body)
end

wrong = 0
function response(status)
  if status ~= wanted then wrong = wrong + 1 end
end

local threads = {}
function setup(thread) threads[#threads + 1] = thread end

function done(summary, latency)
  local errors, failed = summary.errors, 0
  for _, thread in ipairs(threads) do failed = failed + thread:get("wrong") end
  failed = failed + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('\nRESULT {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), failed))
end

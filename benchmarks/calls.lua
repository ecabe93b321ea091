-- wrk: POST the bodies of a file, one a line, in turn; each @N@ in a body becomes a number that was never sent before.
local bodies, at, fresh = {}, 0, 0
local headers = { ["Content-Type"] = "application/json" }

function init(arguments)
  for line in io.lines(arguments[1]) do bodies[#bodies + 1] = line end
  fresh = os.time() % 1000000 * 1000000
end

function request()
  at = at % #bodies + 1
  local body = bodies[at]:gsub("@N@", function() fresh = fresh + 1; return tostring(fresh) end)
  return wrk.format("POST", "/score", headers, body)
end

function done(summary, latency)
  io.write(string.format("\n{\"requests\": %d, \"us\": %d, \"not_200\": %d, \"lost\": %d, \"p50\": %.0f, \"p99\": %.0f}\n",
    summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end

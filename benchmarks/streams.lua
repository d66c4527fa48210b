-- What wrk sends: many live streams side by side, each with the callbacks of its own pushes in the order of their time.
--
-- Settings come from the environment (benchmarks/wrk.py): one signing second for all, STREAMS of them, a callback of
-- each every STEP_S seconds of its own time, CALLBACKS of them from one start to the next. The last of a push is its
-- stop unless WITHOUT_STOPS is set. Every other stream has a stream_param of its own for each push, as where a
-- receiver's customer signs each push URL; the others share one.

local function number(name) return assert(tonumber(os.getenv(name)), name .. " is not set") end

local signed_at, sign = number("T"), assert(os.getenv("SIGN"))
local streams, callbacks, step = number("STREAMS"), number("CALLBACKS"), number("STEP_S")
local run = number("RUN") -- of its own streams, sequences and files: what comes again would be a repetition
local without_stops = os.getenv("WITHOUT_STOPS") == "1"
local target = assert(os.getenv("TARGET"))

math.randomseed(run)

local ENVELOPE = '{"app":"push.example.com","appid":1250000001,"appname":"live","channel_id":"%s","stream_id":"%s",'
  .. '"sign":"' .. sign .. '","t":' .. signed_at .. ',"stream_param":"%s",'
local PUSH = '"event_type":%d,"event_time":%d,"sequence":"%s","node":"198.51.100.37","user_ip":"203.0.113.9",'
  .. '"errcode":%d,"errmsg":"%s","set_id":2,"idc_id":34,"width":0,"height":0%s}'
local RECORDING = '"event_type":100,"file_id":"%s","record_file_id":"%s","video_id":"%s_1","task_id":"%d",'
  .. '"file_format":"flv","file_size":27794000,"start_time":%d,"end_time":%d,"duration":110,'
  .. '"video_url":"http://1250000001.vod2.example.com/%s/f0.flv"}'
local SCREENSHOT = '"event_type":200,"create_time":%d,"file_size":30670,"width":1280,"height":720,'
  .. '"pic_url":"/2026-01-01/%s","pic_full_url":"http://shots-1250000001.cos.example.com/2026-01-01/%s"}'

local RECORDING_EVERY = 12 -- callbacks
local begun = {}
local made = 0 -- of this run, so that sequences and files are not made twice

local function unique(first) return string.format("%d%04d%011d", first, run % 10000, made) end

local function begin(place)
  -- Their time is long past, and far enough apart from now to stay so however quickly it passes.
  local push = begun[place] or {at = signed_at - 14 * 86400 - place % 997, name = string.format("bench_%d_%05d", run, place)}
  push.done = 0
  push.sequence = unique(221)
  push.began = push.at + step
  push.param = place % 2 == 0 and "bizid=2519&txSecret=d5569fb19d1e858bf683b30c10dec908&txTime=592FBDD9"
    or string.format("bizid=2519&txSecret=%08x%08x%08x%08x&txTime=%08X", math.random(0, 2 ^ 31 - 1),
      math.random(0, 2 ^ 31 - 1), made, place, push.began + 86400)
  begun[place] = push
  return push
end

local function rest_of(push)
  if push.done == 1 then return string.format(PUSH, 1, push.at, push.sequence, 0, "ok", "") end
  if push.done == callbacks and not without_stops then
    local lasted = string.format(',"push_duration":"%d"', (push.at - push.began) * 1000 + made % 1000)
    return string.format(PUSH, 0, push.at, push.sequence, 1, "recv rtmp deleteStream", lasted)
  end
  if push.done % RECORDING_EVERY == 0 then
    local file = unique(528)
    return string.format(RECORDING, file, file, file, made, push.at - 110, push.at, file)
  end
  local picture = string.format("%s-screenshot-%d-1280x720.jpg", push.name, push.at)
  return string.format(SCREENSHOT, push.at, picture, picture)
end

function request()
  local place = math.random(streams)
  local push = begun[place]
  made = made + 1
  if not push or push.done == callbacks then push = begin(place) end
  push.at = push.at + step
  push.done = push.done + 1
  local envelope = string.format(ENVELOPE, push.name, push.name, push.param)
  return wrk.format("POST", target, {["Content-Type"] = "application/json"}, envelope .. rest_of(push))
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"answered":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end

-- For wrk: no two heads are alike, in length neither.
local count = 0

request = function()
    count = count + 1
    wrk.headers["Cookie"] = "session=" .. count * 7919 .. "; seen="
        .. string.rep("x", count % 61)
    wrk.headers["User-Agent"] = "client/" .. count % 977
    return wrk.format("GET", "/bytes/" .. count % 3001 .. "?count=" .. count)
end

-- wrk: a request of three headers. No head is like the one before: its number
-- is in the query, in the cookie and in the user agent. bench/loads.py makes
-- the same. They are made before the clock runs, as wrk's core is the limit.
local HEADS = 1999
local heads = {}
local number = 0

function init()
   for i = 1, HEADS do
      heads[i] = 'GET ' .. wrk.path .. '?n=' .. i
         .. ' HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/' .. i % 97
         .. '\r\nCookie: session='
         .. string.format('%08x', i * 2654435761 % 4294967296)
         .. '\r\n\r\n'
   end
end

function request()
   number = number % HEADS + 1
   return heads[number]
end

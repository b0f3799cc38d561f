-- wrk: a request of three headers. No head is like another: its number is in
-- the query, in the cookie and in the user agent. bench/loads.py makes the
-- same.
local number = 0

function request()
   number = number + 1
   return 'GET ' .. wrk.path .. '?n=' .. number
      .. ' HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/' .. number % 97
      .. '\r\nCookie: session='
      .. string.format('%08x', number * 2654435761 % 4294967296)
      .. '\r\n\r\n'
end

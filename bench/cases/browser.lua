-- wrk: the 12 headers of a browser. No head is like the one before: its number
-- is in the query, in the cookie and in the user agent. bench/loads.py makes
-- the same. They are made before the clock runs, as wrk's core is the limit.
local HEADS = 1999
local heads = {}
local number = 0

local rest = table.concat({
   '',
   'Connection: keep-alive',
   'Cache-Control: max-age=0',
   'Upgrade-Insecure-Requests: 1',
   'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
   'Accept-Encoding: gzip, deflate, br, zstd',
   'Accept-Language: en-US,en;q=0.9',
   'Sec-Fetch-Dest: document',
   'Sec-Fetch-Mode: navigate',
   'Sec-Fetch-Site: same-origin',
   '',
   '',
}, '\r\n')

function init()
   for i = 1, HEADS do
      heads[i] = 'GET ' .. wrk.path .. '?n=' .. i
         .. ' HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0 (X11;'
         .. ' Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/'
         .. i % 97 .. '.0.0.0 Safari/537.36\r\nCookie: session='
         .. string.format('%08x', i * 2654435761 % 4294967296)
         .. rest
   end
end

function request()
   number = number % HEADS + 1
   return heads[number]
end

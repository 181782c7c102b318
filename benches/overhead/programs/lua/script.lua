-- Tables, strings, recursion, sorting, closures. The line in the middle is read in a comparison of
-- `table.sort`, so that the interpreter is on the stack twice.
local scale = ...
local checksum = 7
local function mix(n) checksum = (checksum * 31 + n) % 1000000007 end

local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end

local function tables(size)
  local list, map = {}, {}
  for i = 1, size do
    list[i] = (i * 7919) % size
    map["k" .. i % 500] = (map["k" .. i % 500] or 0) + i
  end
  local sum = 0
  for i = 1, #list do sum = sum + list[i] * (i % 7) end
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  for i = 1, #keys do sum = sum + map[keys[i]] * i end
  mix(sum % 1000003)
end

local function strings(size)
  local parts = {}
  for i = 1, size do parts[#parts + 1] = string.format("%05d:%s", i, string.rep("ab", i % 5)) end
  local text = table.concat(parts, ",")
  local count = 0
  for word in string.gmatch(text, "%d+:[ab]*") do count = count + #word end
  local upper = string.gsub(string.upper(text), "AB", "x")
  mix(count + #upper + (string.find(text, "00" .. size // 2, 1, true) or 0))
end

local Point = {}
Point.__index = Point
Point.__add = function(a, b) return setmetatable({ x = a.x + b.x, y = a.y + b.y }, Point) end
function Point:norm() return self.x * self.x + self.y * self.y end

local function objects(size)
  local sum = setmetatable({ x = 0, y = 0 }, Point)
  for i = 1, size do sum = sum + setmetatable({ x = i, y = i % 3 - 1 }, Point) end
  mix(sum:norm() % 1000003)
end

local function sorts(size, at)
  local list, seed, count = {}, 42, 0
  for i = 1, size do
    seed = (seed * 1103515245 + 12345) % 2147483648
    list[i] = seed
  end
  table.sort(list, function(a, b)
    count = count + 1
    if count == at then midway() end
    return a < b
  end)
  mix((list[1] + list[size // 2] + count) % 1000003)
end

for round = 1, 2 * scale do
  mix(fib(22))
  tables(20000)
  strings(3000)
  objects(20000)
  sorts(5000, round == scale and 30000 or nil)
end
finish(checksum)

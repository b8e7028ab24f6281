-- objects.lua - tables and strings, each of them a call of realloc: objects.lua REQUESTS
local state = 42
local function random(max)
    state = (state * 48271) % 2147483647
    return state % max + 1
end

local sessions = {}
local sum = 0
for number = 1, tonumber(arg[1]) do
    local words, visits = {}, {}
    for i = 1, 20 do
        words[i] = string.rep(tostring(random(1000000)), random(6))
        visits[words[i]] = (visits[words[i]] or 0) + #words[i]
    end
    sessions[random(5000)] = { number = number, text = table.concat(words, " "), visits = visits }
    for _, count in pairs(visits) do
        sum = sum + count
    end
end
print(sum)

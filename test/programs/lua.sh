#!/bin/bash
#
# lua.sh - Lua: every object goes through realloc; tables, strings, coroutines, both collectors.
#
# Compared: all it prints.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/lua5.4 lua5.4

prepare()
{
    cat >work.lua <<'EOF'
local state = 42
local function random(max)
    state = (state * 48271) % 2147483647
    return state % max + 1
end
local function sum(text)
    local hash = 5381
    for i = 1, #text do
        hash = (hash * 33 + text:byte(i)) & 0xffffffff
    end
    return hash
end

local function churn()
    local map, count = {}, 0
    for i = 1, 300000 do
        local key = "key" .. random(40000)
        if random(3) == 1 then
            map[key] = nil
        else
            map[key] = { i, string.rep("v", random(100)), { i } }
        end
    end
    local keys = {}
    for key in pairs(map) do
        keys[#keys + 1] = key
    end
    table.sort(keys)
    local texts = {}
    for _, key in ipairs(keys) do
        texts[#texts + 1] = key .. map[key][2]
    end
    return #keys, sum(table.concat(texts))
end

for _, mode in ipairs { "incremental", "generational" } do
    collectgarbage(mode)
    print(mode, churn())
    local routines = {}
    for i = 1, 20000 do
        routines[i] = coroutine.wrap(function(a)
            local b = coroutine.yield(a + i)
            return a * b
        end)
        routines[i](i)
    end
    local total = 0
    for i = 1, 20000 do
        total = total + routines[i](2)
    end
    print("coroutines", total)
    local text = string.rep("abc def ", 20000):gsub("%w+", string.upper):reverse()
    print("text", #text, sum(text))
    collectgarbage()
end
EOF
}

session()
{
    prove /usr/bin/lua5.4 -e 'print(1 + 1)'
    under /usr/bin/lua5.4 "$XA_PROGRAMS_FOLDER/input/work.lua"
}

run_program

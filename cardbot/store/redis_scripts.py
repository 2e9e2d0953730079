"""What the Redis store does in one step on the server: Lua texts for every server from 2.6.12 on.

Each may be sent again when its reply was lost. None asks the server for the time, and none uses HGETALL, whose order
counts as random: before Redis 5 a script must not write after either (seen: the command tables of Redis 2.6 to 5.0).
Each script that looks at other processes begins with `LIVES`, and so has the prefix and the process as its first ARGV.
"""

FIRST_SEEN = """
local first = 1
for _, name in ipairs(KEYS) do
    if not redis.call('SET', name, ARGV[1], 'NX', 'EX', ARGV[2]) and redis.call('GET', name) ~= ARGV[1] then
        first = 0
    end
end
return first
"""
"""A script, because several names are claimed as one. ARGV[1] is the call's own token: a call whose reply was lost and
that is sent again meets its own mark and still is the first, and so does a name that is given twice."""

SPEND = """
if redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[1]) then
    redis.call('HINCRBY', KEYS[1], 'calls', ARGV[2])
    redis.call('HINCRBY', KEYS[1], 'answers', ARGV[3])
    redis.call('HSETNX', KEYS[1], 'since', ARGV[4])
end
return redis.call('HMGET', KEYS[1], 'calls', 'answers', 'since')
"""
"""KEYS: the month, the call's own token. ARGV: seconds to know the token, calls, answers, Unix time."""

LIVES = """
local prefix, me = ARGV[1], ARGV[2]
local may_judge = redis.call('EXISTS', prefix .. 'alive:' .. me) == 1
    and redis.call('EXISTS', prefix .. 'young:' .. me) == 0
local function dead(process)
    return may_judge and process ~= me and redis.call('EXISTS', prefix .. 'alive:' .. process) == 0
end
"""
"""Whether a process is dead. Only who has lived for a whole lease itself may say so: after a time in which nobody
reached the server all leases have run out, and the first to come back would take all others for dead."""

BEAT = (
    LIVES
    + """
local lease = ARGV[3]
if redis.call('EXISTS', prefix .. 'alive:' .. me) == 0 then
    redis.call('SET', prefix .. 'young:' .. me, 1, 'EX', lease)
end
redis.call('SET', prefix .. 'alive:' .. me, 1, 'EX', lease)
redis.call('SADD', KEYS[1], me)
local living = 0
for _, process in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if dead(process) then
        redis.call('SREM', KEYS[1], process)
    else
        living = living + 1
    end
end
return living
"""
)
"""KEYS: the set of processes. Who is new counts everybody who ever lived: better too small a share than too large."""

KEEP_REPLY = """
local adopter = redis.call('GET', KEYS[3])
local keeper = redis.call('HGET', KEYS[1], ARGV[2])
if (adopter and adopter ~= ARGV[1]) or (keeper and keeper ~= ARGV[1]) then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
"""
"""KEYS: keepers by reply, records by reply, the mark of who adopted this one. ARGV: the process, the reply, its
record."""

DROP_REPLY = """
if redis.call('HGET', KEYS[1], ARGV[2]) == ARGV[1] then
    redis.call('HDEL', KEYS[1], ARGV[2])
    redis.call('HDEL', KEYS[2], ARGV[2])
end
"""
"""KEYS: keepers by reply, records by reply. ARGV: the process, the reply."""

ADOPT_REPLIES = (
    LIVES
    + """
if KEYS[3] ~= KEYS[1] then
    for _, reply in ipairs(redis.call('HKEYS', KEYS[3])) do
        local keeper = redis.call('HGET', KEYS[3], reply)
        if keeper == '' or dead(keeper) then
            redis.call('HSET', KEYS[1], reply, '')
            redis.call('HSET', KEYS[2], reply, redis.call('HGET', KEYS[4], reply) or '')
            redis.call('HDEL', KEYS[3], reply)
            redis.call('HDEL', KEYS[4], reply)
        end
    end
end
local found = {}
for _, reply in ipairs(redis.call('HKEYS', KEYS[1])) do
    local keeper = redis.call('HGET', KEYS[1], reply)
    local mark = prefix .. 'adopted:' .. reply
    if keeper == '' or dead(keeper) then
        redis.call('HSET', KEYS[1], reply, me)
        redis.call('SET', mark, me, 'EX', ARGV[3])
        keeper = me
    end
    if keeper == me and redis.call('GET', mark) == me then
        table.insert(found, reply)
        table.insert(found, redis.call('HGET', KEYS[2], reply) or '')
    end
end
return found
"""
)
"""KEYS: the app's keepers by reply and records by reply, then the same of no app: what the dead left there goes to
whichever app asks first. ARGV from the third on: seconds to keep the mark of an adoption. Returns all that the process
ever adopted and has not dropped: it knows what was handed over before, and what was not got lost on its way."""

LEAVE = """
for _, reply in ipairs(redis.call('HKEYS', KEYS[1])) do
    if redis.call('HGET', KEYS[1], reply) == ARGV[2] then
        redis.call('HSET', KEYS[1], reply, '')
    end
end
redis.call('SREM', KEYS[2], ARGV[2])
redis.call('DEL', ARGV[1] .. 'alive:' .. ARGV[2], ARGV[1] .. 'young:' .. ARGV[2])
"""
"""KEYS: keepers by reply, the set of processes. What is left open has nobody for its keeper: anyone may adopt it."""

STAND_IN_LINE = (
    LIVES
    + """
local ticket, longest, life = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local ahead = 0
for _, other in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
    if other == ticket then
        return ahead
    elseif dead(string.sub(other, 1, #me)) then
        redis.call('LREM', KEYS[1], 0, other)
    else
        ahead = ahead + 1
    end
end
if longest >= 0 and ahead > longest then
    return -ahead
end
redis.call('RPUSH', KEYS[1], ticket)
redis.call('EXPIRE', KEYS[1], life)
return ahead
"""
)
"""KEYS: the line, a list of tickets, which begin with their process. ARGV from the third on: the ticket, how many may
stand ahead of a new one (-1: any number), seconds to keep a line that nobody looks at. Returns how many stand ahead,
as a negative number if there are too many."""

POST = """
if redis.call('HSETNX', KEYS[2], 'address', ARGV[2]) == 1 then
    redis.call('HSET', KEYS[2], 'word', ARGV[3])
    redis.call('EXPIRE', KEYS[2], ARGV[4])
    redis.call('RPUSH', KEYS[1], ARGV[1])
    redis.call('EXPIRE', KEYS[1], ARGV[4])
end
"""
"""KEYS: the list of words, by their tokens; this word, which stays until its time is over, so that it is not posted
twice. ARGV: its token, its address, the word, seconds to keep it."""

COLLECT = """
local wanted = {}
for number = 3, #ARGV do
    wanted[ARGV[number]] = true
end
for _, token in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
    local address = redis.call('HGET', ARGV[1] .. token, 'address')
    if not address or wanted[address] then
        redis.call('LREM', KEYS[1], 0, token)
    end
    if address and wanted[address] then
        redis.call('RPUSH', KEYS[2], token)
        redis.call('EXPIRE', KEYS[2], ARGV[2])
    end
end
local found = {}
for _, token in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    local word = redis.call('HMGET', ARGV[1] .. token, 'address', 'word')
    if word[1] then
        table.insert(found, word[1])
        table.insert(found, word[2])
    end
end
return found
"""
"""KEYS: the list of words, the list of those that this call takes: when it is sent again, they are not lost. ARGV: how
the words' keys begin, seconds to keep what was taken, the addresses."""

"""The steps of the mail store in Redis that are several changes and have to happen as one.

Redis runs a script as a whole, and nothing else meanwhile. A script uses no keys but those that it is given, and all
have one hash tag, so they are in one slot of a Redis Cluster: one master has the whole mail store. When it has no
memory left, Redis refuses the first command of a script that needs some, and no later one: then nothing is changed.
What makes room are scripts too, as Redis queues no transaction then.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "rr-mail:{mail}:"
"""What all keys of a mail store begin with. The braces are the hash tag."""

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

ADD: Final = """
-- Adds a mail whose pieces are a list, or the last argument, unless it is there or was deleted meanwhile; returns
-- whether it did, and where the mail is.
-- KEYS: stream, places, times, total, text, uploaded pieces, mark of a deletion
-- ARGV: id, info, size, seconds since the epoch, most bytes of all texts (0: any), number of pieces, the only piece
local place = redis.call('HGET', KEYS[2], ARGV[1])
if place or redis.call('EXISTS', KEYS[7]) == 1 then
    redis.call('UNLINK', KEYS[6])
    if place then
        redis.call('HSET', KEYS[2], ARGV[1], place)  -- a replica that has this write has the mail's, too (WAIT)
    end
    return {0, string.match(place or '', '^%S*')}
end
local size, room, pieces = tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
if room > 0 and tonumber(redis.call('HGET', KEYS[4], 'size') or 0) + size > room then
    return redis.error_reply('FULL')
end
if not ARGV[7] and redis.call('LLEN', KEYS[6]) ~= pieces then
    return redis.error_reply('LOST')
end
place = redis.call('XADD', KEYS[1], '*', 'id', ARGV[1], 'info', ARGV[2])
if ARGV[7] then
    redis.call('RPUSH', KEYS[5], ARGV[7])
elseif pieces > 0 then
    redis.call('RENAME', KEYS[6], KEYS[5])
    redis.call('PERSIST', KEYS[5])
end
redis.call('HSET', KEYS[2], ARGV[1], place .. ' ' .. ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
redis.call('HINCRBY', KEYS[4], 'mails', 1)
redis.call('HINCRBY', KEYS[4], 'size', size)
return {1, place}
"""

DELETE: Final = """
-- Removes a mail, from all queues too; 0 when there is none, -1 when there is a queue that is not given. Its id is
-- remembered for a time: a call of ADD that is repeated because its answer was lost must not store the mail again.
-- KEYS: stream, places, times, total, text, mark of a deletion; due, attempts, progress of each queue
-- ARGV: id, seconds to remember, names of the queues
local kept = redis.call('HGET', KEYS[2], ARGV[1])
if not kept then
    return 0
end
local given = {}
for number = 3, #ARGV do
    given[ARGV[number]] = true
end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if not given[group[2]] then
        return -1
    end
end
local place, size = string.match(kept, '^(%S+) (%d+)$')
redis.call('XDEL', KEYS[1], place)
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('UNLINK', KEYS[5])
redis.call('HINCRBY', KEYS[4], 'mails', -1)
redis.call('HINCRBY', KEYS[4], 'size', -tonumber(size))
redis.call('SET', KEYS[6], '', 'EX', ARGV[2])
for number = 3, #ARGV do
    local first = 7 + 3 * (number - 3)
    redis.call('XACK', KEYS[1], ARGV[number], place)
    redis.call('ZREM', KEYS[first], place)
    redis.call('HDEL', KEYS[first + 1], place)
    redis.call('HDEL', KEYS[first + 2], place)
end
return 1
"""

CLAIM: Final = (
    _NOW
    + """
-- Leases mails that are due: first those that were handed out before and are older, then new ones.
-- KEYS: stream, due, attempts, progress
-- ARGV: group, consumer, how many, milliseconds of the lease, how many due ones to put in order
local limit, claims = tonumber(ARGV[3]), {}
local function lease(place, info)
    redis.call('ZADD', KEYS[2], now + ARGV[4], place)
    local attempts = redis.call('HINCRBY', KEYS[3], place, 1)
    table.insert(claims, {place, info, attempts, redis.call('HGET', KEYS[4], place) or ''})
end
local function before(one, other)
    local time, number = string.match(one, '^(%d+)-(%d+)$')
    local other_time, other_number = string.match(other, '^(%d+)-(%d+)$')
    if time ~= other_time then
        return tonumber(time) < tonumber(other_time)
    end
    return tonumber(number) < tonumber(other_number)
end
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[5])
table.sort(due, before)
for _, place in ipairs(due) do
    if #claims == limit then
        break
    end
    local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, place)[1]
    if entry then
        lease(place, entry[2][4])
    end
end
if #claims < limit then
    local new = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', limit - #claims, 'STREAMS', KEYS[1], '>')
    for _, entry in ipairs(new and new[1][2] or {}) do
        lease(entry[1], entry[2][4])
    end
end
return claims
"""
)

PUT_OFF: Final = (
    _NOW
    + """
-- Makes a claimed mail due later than now; 0 when it was claimed again, settled or deleted meanwhile.
-- KEYS: due, attempts, progress
-- ARGV: place, number of the attempt, milliseconds, progress or nothing
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
    return 0
end
redis.call('ZREM', KEYS[1], ARGV[1])  -- needs no memory; after it Redis refuses no command for want of some
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
if ARGV[4] then
    redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
end
return 1
"""
)

SETTLE: Final = """
-- The group is done with a mail.
-- KEYS: stream, due, attempts, progress
-- ARGV: group, place
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
"""

DROP: Final = """
-- Forgets a group; 0 when there is none.
-- KEYS: stream, due, attempts, progress
-- ARGV: group
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
return redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
"""

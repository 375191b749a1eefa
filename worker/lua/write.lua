-- Apply each write whose expectation still holds. Only if all hold, and the marker is what its writer saw,
-- the marker moves: Lua compares for equality only, because its numbers are doubles and positions are not.
-- KEYS: states..., marker. ARGV: marker seen ('' when missing), marker to set, life of a state in seconds,
-- then per state the expected first 17 bytes and the new value ('' asserts only, '-' deletes).
-- Reply: 1 if everything held.
local held = true
for i = 1, #KEYS - 1 do
  local expected, value = ARGV[2 + 2 * i], ARGV[3 + 2 * i]
  local current = redis.call('GETRANGE', KEYS[i], 0, 16)
  if value == '-' and current == '' then
    -- gone already
  elseif current ~= expected then
    held = false
  elseif value == '-' then
    redis.call('DEL', KEYS[i])
  elseif value ~= '' then
    redis.call('SET', KEYS[i], value, 'EX', ARGV[3])
  end
end
local marker = KEYS[#KEYS]
if not held or (redis.call('GET', marker) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', marker, ARGV[2])
return 1

-- Conditional writes outside any batch, each by itself: a reader that rebuilt states, or a repair.
-- KEYS: states... ARGV: life in seconds, then per state the expected first 17 bytes and the new value
-- ('-' deletes). Reply: per state 1 if its expectation held.
local held = {}
for i = 1, #KEYS do
  local value = ARGV[2 * i + 1]
  if redis.call('GETRANGE', KEYS[i], 0, 16) ~= ARGV[2 * i] then
    held[i] = 0
  elseif value == '-' then
    redis.call('DEL', KEYS[i])
    held[i] = 1
  else
    redis.call('SET', KEYS[i], value, 'EX', ARGV[1])
    held[i] = 1
  end
end
return held

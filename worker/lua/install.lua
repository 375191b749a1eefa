-- One conditional write outside any batch: a reader that rebuilt a state.
-- KEYS: state. ARGV: expected first 17 bytes, new value ('-' deletes), life in seconds. Reply: 1 if it held.
if redis.call('GETRANGE', KEYS[1], 0, 16) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '-' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
end
return 1

-- A reader's claim where nothing stands; what stands is given and left.
-- KEYS: states... ARGV: my claim, its life in seconds. Reply: per state its value, '' where my claim now stands.
local found = {}
for i = 1, #KEYS do
  local value = redis.call('GET', KEYS[i])
  if not value then
    redis.call('SET', KEYS[i], ARGV[1], 'EX', ARGV[2])
  end
  found[i] = value or ''
end
return found

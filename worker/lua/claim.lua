-- A reader's claim where nothing stands; what stands is given and left.
-- KEYS: states... ARGV: my claim, its life in seconds. Reply: per state its value, '' where my claim now stands.
local found = {}
for i = 1, #KEYS do
  found[i] = redis.call('SET', KEYS[i], ARGV[1], 'NX', 'GET', 'EX', ARGV[2]) or ''
end
return found

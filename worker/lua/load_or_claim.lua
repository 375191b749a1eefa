-- Give every state, and stand my claim where there is none or another's: a later writer is told apart from
-- one that merely finds absence, so an eviction between load and write can never be mistaken for "new".
-- KEYS: states..., marker. ARGV: my claim ('T' and 16 random bytes), its life in seconds.
-- Reply: per state its value, '' where my claim now stands; then the marker, '' when missing.
local found = {}
for i = 1, #KEYS - 1 do
  local value = redis.call('SET', KEYS[i], ARGV[1], 'NX', 'GET', 'EX', ARGV[2])
  if value and string.byte(value, 1) == 83 then -- 'S', a state
    found[i] = value
  else
    if value then
      redis.call('SET', KEYS[i], ARGV[1], 'EX', ARGV[2])
    end
    found[i] = ''
  end
end
found[#KEYS] = redis.call('GET', KEYS[#KEYS]) or ''
return found

-- The last step of a sweep: raise the markers and end the chain.
-- KEYS: chain, markers... ARGV: token expected, then per marker what it was ('' when missing) and shall be.
-- Reply: 1 done, 0 when a marker moved meanwhile (read again), -1 when the chain is broken.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return -1
end
for i = 2, #KEYS do
  if (redis.call('GET', KEYS[i]) or '') ~= ARGV[2 * i - 2] then
    return 0
  end
end
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2 * i - 1])
end
redis.call('DEL', KEYS[1])
return 1

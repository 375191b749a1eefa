-- One step of a sweep: remove every key that is not the version the ledger had a moment ago. The chain token
-- proves that Redis is still the one the sweep began on: a failover brings an older token back.
-- KEYS: chain, states... ARGV: token expected, next token, then per state its header ('' where no row exists).
-- Reply: how many were removed, -1 when the chain is broken.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return -1
end
local dropped = 0
for i = 2, #KEYS do
  local current = redis.call('GETRANGE', KEYS[i], 0, 16)
  if current ~= '' and current ~= ARGV[i + 1] then
    redis.call('UNLINK', KEYS[i])
    dropped = dropped + 1
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return dropped

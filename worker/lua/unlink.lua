-- What a deletion has taken from the ledger goes here too. The marker counts deletions and moves only from the
-- one before: were it raised past one whose states still stand, nothing would ever show that.
-- KEYS: marker of deletions, states... ARGV: marker of the deletion before ('' when none), marker to set.
-- Reply: 1 if the marker moved.
for i = 2, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1

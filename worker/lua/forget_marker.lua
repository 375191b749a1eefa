-- Delete the marker of a source that was closed, unless somebody has opened it again and moved on.
-- KEYS: marker. ARGV: where it stood when the source was closed. Reply: 1 if it is gone now.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])

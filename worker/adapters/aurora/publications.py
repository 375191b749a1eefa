"""How the published figures of a class lie in their table."""

import msgspec

from worker.domain.classroom import Publication

packed = msgspec.msgpack.Encoder().encode
unpacked = msgspec.msgpack.Decoder(Publication).decode

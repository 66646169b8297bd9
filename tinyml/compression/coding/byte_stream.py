"""The bytes of a file: reading them in order; integers and text in few bytes.

Helpers of `codings` and `storage`. A file may be damaged or hostile, so no function here
reads past the end, or allocates more memory than the caller allows.

Source: Deutsch 1996, DEFLATE compressed data format specification (RFC 1951).
"""
import zlib


class Reader:
    """A position in some bytes. Reading past the end raises ValueError.

    >>> reader = Reader(b"abc")
    >>> reader.take(2), reader.rest()
    (b'ab', b'c')
    """

    def __init__(self, data):
        self.data, self.position = data, 0

    def take(self, n):
        """Read the next n bytes."""
        n_left = len(self.data) - self.position
        if n > n_left:
            raise ValueError(f"{n} bytes were expected, {n_left} are left")
        self.position += n
        return self.data[self.position - n:self.position]

    def byte(self):
        """Read the next byte as an integer."""
        return self.take(1)[0]

    def varint(self):
        """Read the next integer that `varint` wrote, of at most 77 bits."""
        value = 0
        for shift in range(0, 77, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                break
        return value

    def rest(self):
        """The bytes that are left; the position stays."""
        return self.data[self.position:]


def varint(n):
    """An integer >= 0 as bytes of 7 bits each, the lowest first; 128 is added to all but the last.

    >>> varint(300).hex()    # 300 = 2 * 128 + 44, and 44 + 128 = 0xac
    'ac02'
    """
    n, data = int(n), bytearray()
    while n > 127:
        data.append(n & 127 | 128)
        n >>= 7
    data.append(n)
    return bytes(data)


def deflate(data, dictionary=b""):
    """Compress bytes with zlib, without header and checksum.

    `dictionary` is text that the data is likely to contain.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=dictionary)
    return packer.compress(data) + packer.flush()


def inflate(data, at_most, dictionary=b""):
    """The bytes that `deflate` was given; ValueError if they are more than `at_most`."""
    unpacker = zlib.decompressobj(-15, zdict=dictionary)
    content = unpacker.decompress(data, at_most + 1)    # one more, because 0 means no limit
    if len(content) > at_most or not unpacker.eof:
        raise ValueError(f"deflated data must hold at most {at_most:,} bytes and be whole")
    return content

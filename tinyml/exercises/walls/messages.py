"""Messages between a check and its child: a length of eight bytes, then JSON."""
import json
import os


def send(descriptor, message):
    """Write a message to a pipe."""
    text = json.dumps(message).encode()
    write(descriptor, len(text).to_bytes(8, "big") + text)


def receive(descriptor):
    """The next message of a pipe, and no byte after it; None if the other end is closed."""
    length = _read(descriptor, 8)
    if length is None:
        return None
    text = _read(descriptor, int.from_bytes(length, "big"))
    return None if text is None else json.loads(text)


def _read(descriptor, n_bytes):
    """So many bytes, or None if there are fewer."""
    parts = []
    while n_bytes:
        part = os.read(descriptor, min(n_bytes, 2**16))
        if not part:
            return None
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


def write(descriptor, text):
    """Write all bytes of a text to a file or pipe that is open."""
    while text:
        text = text[os.write(descriptor, text):]

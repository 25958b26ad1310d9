"""Faulty HTTP answers, by name: each function takes a valid JSON body and returns an http_response that breaks it.

`BROKEN` answers violate HTTP or end early, `ENORMOUS` ones never end or are far too large, `SLOW` ones exceed any
deadline, and `UNREADABLE` ones are valid HTTP with a body that is not acceptable JSON.
"""

import json
import zlib
from collections.abc import Callable
from functools import cache

from tests.support.faulty_backend import (
    ScriptedResponse,
    flood,
    half_close,
    hang,
    http_response,
    keep_alive,
    reset_connection,
    send_slowly,
    send_then,
)

MIB = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def unterminated_chunks(good: bytes) -> bytes:
    """Return a chunked http_response with a complete body, but without the last chunk."""
    return CHUNKED + chunk(good[:10]) + chunk(good[10:])


def zipped(data: bytes) -> bytes:
    return zlib.compress(data, wbits=31)


@cache
def bomb() -> bytes:
    """Return 64 MiB of spaces, gzipped to 64 kB."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(b" " * MIB) for _ in range(64)) + packer.flush()


BROKEN: dict[str, Callable[[bytes], ScriptedResponse]] = {
    "closed": lambda _: b"",
    "closed within the head": lambda _: HEAD[:-8],
    "half closed": lambda _: half_close,
    "reset_connection": lambda _: reset_connection,
    "reset_connection within the head": lambda _: send_then(HEAD, reset_connection),
    "reset_connection within the body": lambda good: send_then(http_response(good)[:-5], reset_connection),
    "a length that is too long": lambda good: http_response(good, Content_Length=len(good) + 1),
    "a length that is too short": lambda good: keep_alive(http_response(good, Content_Length=len(good) - 1)),
    "a length below zero": lambda good: http_response(good, Content_Length=-1),
    "two lengths": lambda good: http_response(good, Content_Length=f"{len(good)}\r\nContent-Length: 5"),
    "chunks without a last one": unterminated_chunks,
    "a chunk that is too short": lambda good: CHUNKED + b"%x\r\n%b" % (len(good) + 9, good),
    "a chunk of x bytes": lambda good: unterminated_chunks(good) + b"x\r\n",
    "a chunk of -1 bytes": lambda good: unterminated_chunks(good) + b"-1\r\n",
    "a chunk of -5 bytes": lambda good: unterminated_chunks(good) + b"-5\r\n",
    "HTTP/0.9": lambda good: good,
    "another protocol": lambda _: b"SSH-2.0-~secret~\r\n",
    "a TLS alert": lambda _: b"\x15\x03\x03\x00\x02\x02\x46",
    "garbage": lambda _: bytes(range(256)) * 10,
    "a status that is no number": lambda good: http_response(good).replace(b" 200 ", b" ~secret~ "),
    "gzip that is none": lambda good: keep_alive(http_response(good, Content_Encoding="gzip")),
    "gzip that breaks off": lambda good: keep_alive(http_response(zipped(good)[:-20], Content_Encoding="gzip")),
    "100 layers of gzip": lambda good: keep_alive(
        http_response(zipped(good), Content_Encoding=", ".join(["gzip"] * 100))
    ),
}


ENORMOUS: dict[str, Callable[[bytes], ScriptedResponse]] = {
    "100 MB": lambda good: send_then(HEAD + b"Content-Length: 104857600\r\n\r\n" + good, flood(b" " * MIB)),
    "100 MB with a 401": lambda _: send_then(b"HTTP/1.1 401 No\r\n\r\n", flood(b" " * MIB, 100)),
    "a body without end": lambda good: send_then(HEAD + b"\r\n" + good, flood(b" " * MIB)),
    "chunks without end": lambda good: send_then(unterminated_chunks(good), flood(chunk(b" " * MIB))),
    "a chunk of -1 bytes and 100 MB": lambda good: send_then(
        unterminated_chunks(good) + b"-1\r\n", flood(b" " * MIB, 100)
    ),
    "a chunk size without end": lambda good: send_then(unterminated_chunks(good), flood(b"0" * MIB)),
    "a trailer without end": lambda good: send_then(unterminated_chunks(good) + b"0\r\nX: ", flood(b"x" * MIB)),
    "a header without end": lambda _: send_then(HEAD + b"X: ", flood(b"x" * MIB)),
    "a status line without end": lambda _: send_then(b"HTTP/1.1 200 ", flood(b"x" * MIB)),
    "10,000 headers": lambda good: http_response(
        good, X="\r\n".join(["1", *(f"X-{n}: ~secret~" for n in range(10_000))])
    ),
    "200 cookies": lambda good: http_response(good, X="1" + "\r\nSet-Cookie: a=~secret~" * 200),
    "a gzip bomb": lambda _: keep_alive(http_response(bomb(), Content_Encoding="gzip")),
    "a gzip bomb in one chunk": lambda _: HEAD + b"Content-Encoding: gzip\r\n" + CHUNKED[len(HEAD) :] + chunk(bomb()),
    "a gzip bomb in a gzip bomb": lambda _: keep_alive(http_response(zipped(bomb()), Content_Encoding="gzip, gzip")),
}


SLOW: dict[str, Callable[[bytes], ScriptedResponse]] = {
    "no http_response": lambda _: hang,
    "a dripping head": lambda good: send_slowly(http_response(good)),
    "a dripping body": lambda good: send_then(http_response(good)[: -len(good)], send_slowly(good)),
    "dripping trailers": lambda good: send_then(unterminated_chunks(good) + b"0\r\n", flood(b"X: y\r\n", pause=0.01)),
    "100 Continue again and again": lambda _: flood(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001),
}


ENDLESS = ("a chunk size without end", "a trailer without end")  # read on until there is no time left


NO_ANSWER = ("closed", "half closed", "closed within the head", "reset_connection", "reset_connection within the head")


def beside(value: bytes) -> Callable[[bytes], bytes]:
    """Add a member with this JSON value to a valid body."""
    return lambda good: good[:-1] + b', "x": ' + value + b"}"


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "HTML": lambda _: b"<!doctype html><title>Sign in</title><h1>~secret~</h1>",
    "JSON in HTML": lambda good: b"<pre>" + good + b"</pre>",
    "null": lambda _: b"null",
    "a list": lambda good: b"[" + good + b"]",
    "a text": lambda good: json.dumps(good.decode()).encode(),
    "a number": lambda _: b"5",
    "cut": lambda good: good[:-1],
    "twice": lambda good: good + good,
    "a key twice": lambda good: b'{"data": null, ' + good[1:],
    "two BOMs": lambda good: b"\xef\xbb\xbf" * 2 + good,
    "UTF-16": lambda good: good.decode().encode("utf-16"),
    "UTF-32": lambda good: good.decode().encode("utf-32"),
    "invalid UTF-8": beside(b'"\xff"'),
    "a text of quotes without end": lambda _: b"[" * 33 + b'"' + b'\\"' * 20_000,
    "a surrogate in UTF-8": beside(b'"\xed\xa0\x80"'),
    "NaN": beside(b"NaN"),
    "Infinity": beside(b"-Infinity"),
    "a number of 5,000 digits": beside(b"9" * 5000),
    "100,000 levels": beside(b"[" * 100_000 + b"]" * 100_000),
}

"""What no client of ours would send: bodies, content types, headers, queries and parts of paths."""

from __future__ import annotations

DEEP = 100_000
SECRET_WORDS = ("Traceback", 'File "', "sqlalchemy", "pydantic.dev", "site-packages", "sqlite3")
"""of our insides, which no answer tells"""

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "NUL": b"\x00",
    "no UTF-8": b"\xff\xfe\xfd",
    "half a JSON": b'{"name": "x", ',
    "a JSON null": b"null",
    "a JSON list": b"[]",
    "a JSON number": b"-1e999",
    "deep lists": b"[" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "deep and whole": b'{"name":' * 500 + b"1" + b"}" * 500,
    "an endless integer": b'{"name": ' + b"9" * 5000 + b"}",
    "NaN": b'{"name": NaN, "cloud": Infinity}',
    "half a surrogate": b'{"name": "\\ud800", "email": "\\udfff@x", "ciphertext": "\\ud800"}',
    "NUL in JSON": b'{"name": "a\\u0000b", "email": "a\\u0000@b", "cloud": "\\u0000", "installer_name": "\\u0000"}',
    "twice the same key": b'{"name": "a", "name": {"b": []}}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "with a BOM": b'\xef\xbb\xbf{"name": "x"}',
    "a form": b"name=a&name=b&email=%00&token=%ff&=&&;",
    "many fields": b"&".join(b"f%d=x" % number for number in range(3000)),
    "half a multipart": b"--x\r\nContent-Disposition: form-data; name=\"name\"; filename=\"../../x\"\r\n\r\n\xff",
    "bytes": bytes(range(256)) * 16,
    "a whole MiB": b"x" * (1 << 20),
    "more than a MiB": b"x" * ((1 << 20) + 1),
    "a YAML bomb": b"a: &a [x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(12)
    ),
    "a YAML tag": b"!!python/object/apply:os.system ['true']",
    "YAML with odd keys": b"? [a, b]\n: 1\n? {c: d}\n: 2\n~: 3\n2026-01-01: x\n",
    "a YAML date that is none": b"cloud: 2026-99-99\nvcenter: .nan\nnodes: {count: 0x1, size: 1_0:61}",
    "YAML into itself": b"&a [*a]",
    "a YAML mapping into itself": b"&a {cloud: *a, vcenter: *a, nodes: *a, placement: *a, sshKeys: *a}",
}  # fmt: skip

CONTENT_TYPES = (
    b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data",
    b"multipart/form-data; boundary=x",
    b"application/yaml", b"text/plain; charset=\xff", b"", b"application/json; charset=utf-7", b"x" * 5000,
)  # fmt: skip

HEADERS: dict[str, list[tuple[bytes, bytes]]] = {
    "a huge cookie": [(b"cookie", b"a=" + b"x" * 60_000)],
    "many headers": [(b"x-%d" % number, b"x") for number in range(2000)],
    "no UTF-8": [(name, b"\xff\xfe\x80") for name in (b"accept", b"if-match", b"last-event-id", b"x-csrf-token")],
    "the same twice": [
        (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b"), (b"cookie", b"a"), (b"cookie", b""),
    ],
    "ranges": [(b"range", b"bytes=0-0,1-1,5-2,-0,-9999999999999999999,x-y"), (b"if-range", b"x")],
    "one range beyond": [(b"range", b"bytes=99999999999-")],
    "dates that are none": [(b"if-modified-since", b"yesterday"), (b"if-none-match", b'W/"')],
    "an event id that is none": [(b"accept", b"text/event-stream"), (b"last-event-id", b"-1")],
    "everything accepted": [(b"accept", b"*/*;q=NaN, text/html" + b",a/b" * 5000)],
    "another host": [(b"host", b"evil.example\x00"), (b"x-forwarded-host", b"evil.example"), (b"forwarded", b"for=\"")],
    "a length that is none": [(b"content-length", b"-1")],
    "a length without end": [(b"content-length", b"9" * 400)],
}  # fmt: skip

QUERIES = (
    "%00", "after=%00&limit=%00", "after=%ff&limit=1&limit=x", "limit=99999999999999999999999", "limit=1e3&force=maybe",
    "token=%00&next=//evil.example&as=%00&wait=NaN", "wait=-1", "wait=1e999", "gateway=%27%20OR%201=1",
    "a=" + "x" * 60_000, "&&&==;;", "after=" + "%F0%9F%92%A9" * 60, "%E0%80=%C0", "limit=-0&datacenter=" + "%0a" * 100,
)  # fmt: skip

PARTS = (
    "%00", "%ff", "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cx", "%0d%0aX-Injected:%201", "x" * 10_000,
    "%F0%9F%92%A9", "%27%20OR%201=1--", "00000000-0000-0000-0000-000000000000", "%25s%25n", "{}", "%E2%80%AE",
    "%", "%zz",
)  # fmt: skip

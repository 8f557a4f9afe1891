"""A small server for Batch Transform; variables in its environment say what it does.

    EXECUTION_PARAMETERS: what GET /execution-parameters answers; without it, 404
    FAILS_FIRST: how many invocations are answered 503 before the first success
Answers by content type: a row for each row of CSV (how many columns), a label for each line of JSON
Lines, one for JSON, and else what came, in capitals. A body with the word `bad` is answered 400.
"""

import itertools
import json
import os

from tests.emulator.hosting.stub import Handler, main

_COUNT = itertools.count()


class BatchHandler(Handler):
    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        told = os.environ.get("EXECUTION_PARAMETERS")
        if self.path == "/execution-parameters" and told:
            self.answer(200, told.encode())
        else:
            super().do_GET()

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        body = self.body()
        kind = self.headers.get("Content-Type", "")
        print(f"asked: {len(body)} bytes, {self.headers.get('Transfer-Encoding', 'whole')}")
        if next(_COUNT) < int(os.environ.get("FAILS_FIRST", "0")):
            self.answer(503, b"overloaded")
        elif b"bad" in body:
            self.answer(400, b"a bad record")
        else:
            self.answer(200, answered(kind, body))


def answered(kind: str, body: bytes) -> bytes:
    if kind == "text/csv":
        return b"".join(b"%d\n" % (line.count(b",") + 1) for line in body.splitlines())
    if kind == "application/jsonlines":
        return b"".join(b'{"label": %b}\n' % line for line in body.splitlines())
    if kind == "application/json":
        return json.dumps({"label": json.loads(body)}).encode()
    return body.upper()


if __name__ == "__main__":
    main(BatchHandler)

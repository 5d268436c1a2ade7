"""An HTTP service in Python: says what Python knows about a word.

`handle` is called once for each request, by default in a fresh instance whose imports are done already.
"""

import json
import unicodedata
import urllib.parse

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import (
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam)

WRITE_BYTES_MAX = 4096  # What one blocking write takes.


def look_up(path: str) -> tuple[int, dict]:
    word = urllib.parse.unquote(path.removeprefix("/").split("?")[0])
    if not word:
        return 404, {"usage": "GET /WORD"}
    return 200, {
        "word": word,
        "letters": [unicodedata.name(letter, "?") for letter in word],
        "backwards": word[::-1],
    }


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        status, told = look_up(request.path_with_query() or "/")
        response = OutgoingResponse(Fields.from_list([("content-type", b"application/json")]))
        response.set_status_code(status)
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        text = json.dumps(told).encode() + b"\n"
        with body.write() as stream:
            for start in range(0, len(text), WRITE_BYTES_MAX):
                stream.blocking_write_and_flush(text[start:start + WRITE_BYTES_MAX])
        OutgoingBody.finish(body, None)

"""A page at `/`, and the files of it under `/assets/`.

They are the same for everybody and need no token: what the page shows, it asks the calls
for. Which files there are, `inletspy.assets` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from inletspy.answers import Problem, error_of, send
from inletspy.assets import PAGE_FIELDS, Asset, asset
from inletspy.errors import NotThere

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = ["Files"]

_PREFIX: Final = "/assets/"


class Files(Resource):
    """Stands at `/` and at `/assets`.

    Args:
        page: the folder that is shown beside the one that all pages share.
    """

    isLeaf = True

    def __init__(self, page: str) -> None:
        super().__init__()
        self._page = page

    def render(self, request: Request) -> int:
        """Send the file that the path names, letter by letter."""
        try:
            file = asset(self._name(request.path.decode("latin-1")))
            if request.method not in (b"GET", b"HEAD"):
                raise Problem(405, "Method not allowed", headers={"Allow": "GET, HEAD"})
            _send(request, file)
        except NotThere:
            _refuse(request, Problem(404, "Not found"))
        except Problem as problem:
            _refuse(request, problem)
        return NOT_DONE_YET

    def _name(self, path: str) -> str:
        if path == "/":
            return f"{self._page}/index.html"
        name = path.removeprefix(_PREFIX)
        if name == path or not name.startswith(("shared/", f"{self._page}/")):
            raise NotThere
        return name


def _send(request: Request, file: Asset) -> None:
    for field, value in {**PAGE_FIELDS, "ETag": file.etag}.items():
        request.setHeader(field, value)
    tags = request.requestHeaders.getRawHeaders("If-None-Match", [])
    if file.is_among(", ".join(tags)):
        request.setResponseCode(304)
    else:
        request.setHeader("Content-Type", file.content_type)
        request.setHeader("Content-Length", str(len(file.content)))
        request.write(file.content)
    request.finish()


def _refuse(request: Request, problem: Problem) -> None:
    request.setResponseCode(problem.status)
    for field, value in problem.headers.items():
        request.setHeader(field, value)
    send(request, error_of(problem))

"""The fields of a small form: what a page's own forms, curl's `-d` and httpx's `data=` send."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

_FORM = "application/x-www-form-urlencoded"
_MOST = 16


async def fields(request: Request) -> dict[str, str]:
    """The last value of each field. A body that is empty has none. Raises HTTPException for what is no such form."""
    body = await request.body()
    if not body:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HTTPException(415, "Send a form (application/x-www-form-urlencoded).")
    try:
        values = parse_qs(body.decode("utf-8", "strict"), keep_blank_values=True, max_num_fields=_MOST)
    except ValueError as error:
        raise HTTPException(400, "That form cannot be read.") from error
    return {name: found[-1] for name, found in values.items()}

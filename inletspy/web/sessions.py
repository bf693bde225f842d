"""`/api/session`: signing in and out, and links that sign in.

Who is signed in has what the token allows that it was done with, and no longer than that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

from inletspy import __version__
from inletspy.answers import Answer, InvalidRequest, Problem
from inletspy.interfaces import ISettings
from inletspy.policy.signins import CODE_SECONDS, SignIns
from inletspy.policy.tokens import SCOPES, Credential
from inletspy.web.access import Access, check_scopes
from inletspy.web.calls import Asked, Call
from inletspy.web.cookies import check_own_origin, own_origin, set_cookie
from inletspy.web.rows import moment
from inletspy.web.schemas import array, named, record, text

if TYPE_CHECKING:
    from inletspy.policy.sources import Network

__all__ = ["SESSION", "SessionCalls"]

#: Who is signed in.
SESSION: Final = record(
    {
        "user": text("Whose the token is; `shared` for the shared one."),
        "scopes": array({"enum": [*SCOPES]}, description="What the token allows."),
        "admin": {"type": "boolean", "description": "Whether everybody's things are shown."},
        "expires_at": {
            "type": ["string", "null"],
            "description": "When the sign-in ends, or the token if one was sent.",
            "format": "date-time",
        },
    }
)

_PROOF: Final = record(
    {},
    {
        "token": text("A token with the scope `status`.", most=1024),
        "code": text("Of a link that signs in.", most=128),
    },
    closed=True,
)
_NO_KEY: Final = {503: "There is no key to sign with."}


class SessionCalls:
    """The calls.

    Args:
        access: tells who asks.
        sign_ins: makes sign-ins.
        settings: know the base domain and the proxies.
        server_url: the control address for clients where no setting names one.
    """

    def __init__(
        self,
        access: Access,
        sign_ins: SignIns,
        settings: ISettings,
        server_url: Callable[[], str],
    ) -> None:
        self._access = access
        self._sign_ins = sign_ins
        self._settings = settings
        self._server_url = server_url

    def calls(self) -> list[Call]:
        """The calls."""
        more = {
            "version": text("The server's."),
            "base_domain": text("Names of tunnels are under this domain."),
            "server_url": text("Where clients connect; may be empty."),
            "tunnels_enabled": {"type": "boolean"},
        }
        link = record(
            {
                "url": text("Signs in once whoever opens it."),
                "user": text("As whom."),
                "expires_at": text("When it is good no longer.", format="date-time"),
            }
        )
        return [
            Call(
                "POST",
                "/api/session",
                self.begin,
                "Sign in by a token, or by the code of a link; sets the cookie",
                named("Session"),
                token="none",
                body=_PROOF,
                errors={
                    401: "Token or code is good for nothing.",
                    403: "The token lacks the scope `status`, or a page of another origin asks.",
                    429: "Too many wrong tokens came from this address.",
                    **_NO_KEY,
                },
            ),
            Call(
                "GET",
                "/api/session",
                self.show,
                "Who is signed in, or whose the token is, and what the page needs to know",
                record({**SESSION["properties"], **more}),
                scopes=("status",),
            ),
            Call(
                "DELETE",
                "/api/session",
                self.end,
                "Sign out; takes the cookie back",
                record({"signed_in": {"const": False}}),
                token="none",
                errors={403: "A page of another origin asks."},
            ),
            Call(
                "POST",
                "/api/session/links",
                self.link,
                f"Make a link that signs in once, within {CODE_SECONDS // 60} minutes",
                link,
                scopes=("status",),
                by_cookie=False,
                errors=_NO_KEY,
            ),
        ]

    def begin(self, asked: Asked) -> Answer:
        """Sign in who has a token or a code."""
        # Else a page of others could sign somebody in as who it likes.
        check_own_origin(asked.request, self._proxies, by_cookie=False)
        self._check_possible()
        credential = self._proven(asked)
        check_scopes(credential, ("status",))
        sign_in = self._sign_ins.begin(credential)
        seconds = max(0, sign_in.end - int(self._sign_ins.now()))
        cookie = set_cookie(asked.request, self._proxies, sign_in.text, seconds)
        return Answer(_about(credential, sign_in.end), headers=cookie)

    def _proven(self, asked: Asked) -> Credential:
        body = asked.body
        if len(body) != 1:
            raise InvalidRequest("give either token or code")
        if "token" in body:
            credential = self._access.authenticate(asked.request, body["token"])
            wrong = "The token is good for nothing"
        else:
            credential = self._sign_ins.redeem(body["code"])
            wrong = "The link is good no longer: it is good once, and for some minutes"
            if credential is None:  # it counts as a wrong token does
                self._access.authenticate(asked.request, body["code"])
        if credential is None:
            challenge = {"WWW-Authenticate": 'Bearer realm="inletspy", error="invalid_token"'}
            raise Problem(401, "Unauthorized", wrong, challenge)
        return credential

    def show(self, asked: Asked) -> dict[str, Any]:
        """Who asks, and where tunnels are made."""
        caller, settings = asked.caller, self._settings.current
        end = caller.sign_in.end if caller.sign_in else caller.credential.expires_at
        return {
            **_about(caller.credential, end),
            "version": __version__,
            "base_domain": settings.tunnel_base_domain,
            "server_url": settings.inlets_server_url or self._server_url(),
            "tunnels_enabled": settings.tunnels_enabled,
        }

    def end(self, asked: Asked) -> Answer:
        """Sign out; there need be nobody signed in."""
        sign_in = self._access.sign_in(asked.request)
        check_own_origin(asked.request, self._proxies, by_cookie=sign_in is not None)
        if sign_in is not None:
            self._sign_ins.end(sign_in)
        return Answer({"signed_in": False}, headers=set_cookie(asked.request, self._proxies, "", 0))

    def link(self, asked: Asked) -> dict[str, Any]:
        """A link for who sends the token, and for whomever it is given to."""
        self._check_possible()
        origin = own_origin(asked.request, self._proxies)
        credential = asked.caller.credential
        code, end = self._sign_ins.new_code(credential)
        # What stands after # never leaves a browser, so no log has it.
        return {
            "url": f"{origin}/#code={code}",
            "user": credential.owner.name,
            "expires_at": moment(end),
        }

    def _check_possible(self) -> None:
        if not self._sign_ins.possible:
            detail = "Set session_signing_key, or start the server anew"
            raise Problem(503, "No key to sign with", detail)

    @property
    def _proxies(self) -> Collection[Network]:
        return self._settings.current.trusted_proxies


def _about(credential: Credential, end: float | None) -> dict[str, Any]:
    return {
        "user": credential.owner.name,
        "scopes": [scope for scope in SCOPES if scope in credential.scopes],
        "admin": credential.allows("admin"),
        "expires_at": None if end is None else moment(end),
    }

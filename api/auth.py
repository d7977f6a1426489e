"""Registering, logging in and out, refreshing. The refresh token is a cookie for our pages."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from api.contract import Reply, Request, route
from api.front import FRONT
from api.scalars import Body, Email, Instant, Name, Out, Password, Secret
from liveserver.errors import (
    AccountDisabled,
    BadCredentials,
    BusyHashing,
    EmailLinkInvalid,
    EmailTaken,
    EmailUnverified,
    ForbiddenOrigin,
    Invalid,
    MailOff,
    RefreshInvalid,
    RefreshReuse,
    RegistrationClosed,
    TooMany,
    Unauthenticated,
)
from liveserver.models.accounts import AccountStatus, Role, Tokens
from liveserver.models.ids import UserId

_COOKIE = "__Host-rt"


class RegisterIn(Body):
    name: Name
    email: Email
    password: Password
    role: Literal["student", "instructor"] = "student"
    locale: Literal["en", "ar"] = "en"


class LoginIn(Body):
    email: Email
    password: Password


class RefreshIn(Body):
    refresh_token: Secret | None = None


def _avatar_url(key: str | None) -> str | None:
    """Name the route of a portrait by its key `a/<owner>/<upload>.jpg`."""
    return f"/api/avatars/{key.removeprefix('a/').removesuffix('.jpg')}" if key else None


class UserOut(Out):
    """`avatarUrl` leads to a square picture of 256 pixels; it is another one after each change."""

    id: UserId
    name: str
    email: str
    role: Role
    status: AccountStatus
    locale: str
    timezone: str
    avatar_url: Annotated[str | None, Field(validation_alias="avatar_key"), BeforeValidator(_avatar_url)] = (
        None
    )
    created_at: Instant


class ConfirmationOut(Out):
    next: Literal["confirm_email"]


class ForgotIn(Body):
    email: Email


class ResetIn(Body):
    token: Secret
    password: Password


class ConfirmIn(Body):
    token: Secret


class TokensOut(Out):
    """`expiresIn` is in seconds; `refreshToken` is absent where it went out as a cookie."""

    access_token: str
    expires_in: int
    refresh_token: str | None = None
    user: UserOut


@route(
    "POST",
    "/api/auth/register",
    status=201,
    also=(202,),
    public=True,
    reads_login=False,
    raises=(EmailTaken, RegistrationClosed, TooMany, BusyHashing),
)
async def register(request: Request, body: RegisterIn) -> Reply[TokensOut | ConfirmationOut]:
    """201 with tokens; with the setting verifyEmail 202, and a link comes by mail."""
    tokens = await request.services.accounts.register(
        request.device,
        name=body.name,
        email=body.email,
        password=body.password,
        role=Role(body.role),
        locale=body.locale,
    )
    if tokens is None:
        return Reply(body=ConfirmationOut(next="confirm_email"), status=202)
    handed = _hand_out(request, tokens, 201)
    return Reply(body=handed.body, status=handed.status, headers=handed.headers)


@route(
    "POST",
    "/api/auth/login",
    public=True,
    reads_login=False,
    raises=(BadCredentials, AccountDisabled, EmailUnverified, TooMany, BusyHashing),
)
async def login(request: Request, body: LoginIn) -> Reply[TokensOut]:
    tokens = await request.services.accounts.log_in(request.device, email=body.email, password=body.password)
    return _hand_out(request, tokens, 200)


@route(
    "POST",
    "/api/auth/refresh",
    public=True,
    reads_login=False,
    raises=(RefreshInvalid, RefreshReuse, ForbiddenOrigin),
)
async def refresh(request: Request, body: RefreshIn | None = None) -> Reply[TokensOut]:
    token = _refresh_token(request, body)
    if token is None:
        raise RefreshInvalid
    return _hand_out(request, await request.services.accounts.refresh(token), 200)


@route("POST", "/api/auth/logout", status=204, public=True, reads_login=False, raises=(ForbiddenOrigin,))
async def logout(request: Request, body: RefreshIn | None = None) -> Reply[None]:
    """End the login of the refresh token or of the access token; again, and it is 204 again."""
    token = _refresh_token(request, body)
    bearer = request.bearer
    if token is None and bearer is None:
        raise Unauthenticated
    await request.services.accounts.log_out(token, bearer)
    return Reply(body=None, status=204, headers={"Set-Cookie": _cookie("", 0)})


@route(
    "POST",
    "/api/auth/password/forgot",
    status=202,
    public=True,
    reads_login=False,
    raises=(MailOff, TooMany),
)
async def forgot_password(request: Request, body: ForgotIn) -> None:
    """Send a link by mail; the answer is the same whether there is such an account."""
    await request.services.mailing.forgot(request.device, body.email)


@route(
    "POST",
    "/api/auth/password/reset",
    status=204,
    public=True,
    reads_login=False,
    raises=(EmailLinkInvalid, BusyHashing),
)
async def reset_password(request: Request, body: ResetIn) -> None:
    await request.services.mailing.reset(body.token, body.password)


@route(
    "POST",
    "/api/auth/email/confirm",
    status=204,
    public=True,
    reads_login=False,
    raises=(EmailLinkInvalid,),
)
async def confirm_email(request: Request, body: ConfirmIn) -> None:
    await request.services.mailing.confirm(body.token)


def _refresh_token(request: Request, body: RefreshIn | None) -> str | None:
    """Take the token from the body, or from the cookie if the page is ours; never from both."""
    sent = body.refresh_token if body else None
    cookie = request.http.cookies.get(_COOKIE)
    if not _wants_cookie(request):
        return sent
    if sent:
        raise Invalid(("refreshToken", "both_cookie_and_body"))
    if cookie and not request.http.app[FRONT].is_own_origin(request.http):
        raise ForbiddenOrigin
    return cookie


def _wants_cookie(request: Request) -> bool:
    return "X-Requested-With" in request.http.headers


def _hand_out(request: Request, tokens: Tokens, status: int) -> Reply[TokensOut]:
    by_cookie = _wants_cookie(request)
    out = TokensOut(
        access_token=tokens.access,
        expires_in=tokens.expires_in,
        refresh_token=None if by_cookie else tokens.refresh,
        user=UserOut.model_validate(tokens.user),
    )
    headers = {}
    if by_cookie:
        seconds = int((tokens.refresh_expires_at - datetime.now(UTC)).total_seconds())
        headers["Set-Cookie"] = _cookie(tokens.refresh, seconds)
    return Reply(body=out, status=status, headers=headers)


def _cookie(value: str, seconds: int) -> str:
    return f"{_COOKIE}={value}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Strict"


ROUTES = [register, login, refresh, logout, forgot_password, reset_password, confirm_email]

"""Every refusal we can explain to a user.

A refusal has a stable `code` and knows no HTTP status: the doors translate its kind. `details` are
facts the client needs for its next step (`startsAt`, `retryAfter`), in their JSON names.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class Refusal(Exception):
    """Something we will not do, and why."""

    code: ClassVar[str] = "refused"

    def __init__(self, **details: Any) -> None:
        super().__init__(self.code)
        self.details: Mapping[str, Any] = details


class NotFound(Refusal):
    code = "not_found"


class Forbidden(Refusal):
    code = "forbidden"


class Invalid(Refusal):
    """The request's content is wrong. `fields` pairs a JSON path with a code."""

    code = "invalid"

    def __init__(self, *fields: tuple[str, str], **details: Any) -> None:
        super().__init__(**details)
        self.fields = fields


class Conflict(Refusal):
    code = "conflict"


class Unauthenticated(Refusal):
    code = "unauthenticated"


class TooMany(Refusal):
    """Too often; `retryAfter` says when again, in seconds."""

    code = "too_many_requests"


class Misdirected(Refusal):
    """The request names a host that is not this server."""

    code = "unknown_host"


class Unavailable(Refusal):
    """A part we need is away; `retryAfter` says when to try again, in seconds."""

    code = "unavailable"


# Accounts


class TokenExpired(Unauthenticated):
    code = "token_expired"


class TokenInvalid(Unauthenticated):
    code = "token_invalid"


class BadCredentials(Unauthenticated):
    code = "bad_credentials"


class RefreshInvalid(Unauthenticated):
    code = "refresh_invalid"


class RefreshReuse(Unauthenticated):
    code = "refresh_reuse"


class AccountDisabled(Forbidden):
    code = "account_disabled"


class ForbiddenRole(Forbidden):
    code = "forbidden_role"


class NotOwner(Forbidden):
    code = "not_owner"


class ForbiddenOrigin(Forbidden):
    code = "forbidden_origin"


class InstructorPending(Forbidden):
    code = "instructor_pending"


class RegistrationClosed(Forbidden):
    code = "registration_closed"


class EmailTaken(Conflict):
    code = "email_taken"


class MailOff(Conflict):
    """The school sends no e-mail: an admin helps."""

    code = "mail_off"


class EmailLinkInvalid(Conflict):
    """The link was used, is too old, or never was."""

    code = "email_link_invalid"


class EmailUnverified(Forbidden):
    """The link in the mail that was sent must be opened first."""

    code = "email_unverified"


class BusyHashing(Unavailable):
    code = "busy"


# Courses


class NotEnrolled(Forbidden):
    code = "not_enrolled"


class Removed(Forbidden):
    code = "removed"


class CourseClosed(Forbidden):
    """A rejected course, closed to everybody who does not teach it until it is approved."""

    code = "course_closed"


class PaymentRequired(Refusal):
    code = "payment_required"


class NeedsLesson(Conflict):
    code = "needs_lesson"


class WrongState(Conflict):
    """The object's state does not allow the deed; `state` says what it is."""

    code = "wrong_state"


class StaleVersion(Conflict):
    """Somebody else changed it since it was read; `version` is the present one."""

    code = "stale_version"


class SessionLive(Conflict):
    """A class of it runs now: end that first."""

    code = "session_live"


class Locked(Forbidden):
    """A lesson that is not open yet; `unlockedBy` is the lesson to finish first, `availableFrom` the time."""

    code = "locked"


class WrongType(Conflict):
    """The lesson is of another type; `type` says of which."""

    code = "wrong_type"


class ThresholdNotReached(Conflict):
    """Too little was watched or attended; `percent` of `required`."""

    code = "threshold_not_reached"


class NotYourself(Conflict):
    code = "not_yourself"


class LastAdmin(Conflict):
    code = "last_admin"


# Content


class StoreUnavailable(Unavailable):
    code = "store_unavailable"


class QuotaExceeded(Conflict):
    """The owner keeps too much; `used` of `quota` bytes."""

    code = "quota_exceeded"


class UploadIncomplete(Conflict):
    """Parts are missing; `missing` names them."""

    code = "upload_incomplete"


class NoContent(Conflict):
    """Nothing was uploaded for this lesson yet."""

    code = "no_content"


class VideoProcessing(Conflict):
    """The video is being made ready; `percent` says how far it is."""

    code = "video_processing"


class VideoFailed(Conflict):
    """The video could not be made ready; `reason` says why in a word."""

    code = "video_failed"


class TooManyPlaybacks(Conflict):
    """The person watches as many videos as they may, `limit`."""

    code = "too_many_playbacks"


class PlaybackEnded(Forbidden):
    """Nothing was heard of the player for a while: start anew."""

    code = "playback_ended"


# Payments


class PaymentsOff(Conflict):
    """The school takes no payments."""

    code = "payments_off"


class AlreadyOwned(Conflict):
    code = "already_owned"


class NothingToPay(Conflict):
    """The course is free: enrol."""

    code = "nothing_to_pay"


class CouponInvalid(Conflict):
    """There is no such coupon, or it is used up or over."""

    code = "coupon_invalid"


class CouponTaken(Conflict):
    code = "coupon_taken"


class KeyReused(Invalid):
    """The idempotency key stands for another request."""

    code = "idempotency_key_reused"


class CheckoutExpired(Conflict):
    """The time to pay this order is over: order again, with another key."""

    code = "checkout_expired"


class InFlight(Conflict):
    """The same request is being worked on: ask again in a moment."""

    code = "in_flight"


class ProviderDown(Refusal):
    """The payment provider does not answer; nothing was charged."""

    code = "payment_provider_down"


class BadSignature(Refusal):
    """A webhook that was not signed by the provider, or too long ago."""

    code = "bad_signature"


# Live sessions


class Overlap(Conflict):
    """The instructor has another class at that time; `sessionId` names it."""

    code = "overlap"


class TooEarly(Conflict):
    code = "too_early"


class SessionNotStarted(Conflict):
    code = "session_not_started"


class SessionFull(Conflict):
    code = "session_full"


class SessionEnded(Conflict):
    code = "session_ended"


class SessionCancelled(Conflict):
    code = "session_cancelled"


class SeatsUnavailable(Unavailable):
    code = "seats_unavailable"


class SeatsRebuilt(Conflict):
    """The ledger is at a later `epoch` than the caller's; never shown to a person."""

    code = "seats_rebuilt"


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"


class MediaUnavailable(Unavailable):
    code = "media_unavailable"


class Busy(Unavailable):
    """Classes come first: too many try their network at once."""

    code = "busy_with_tests"


# The classroom's socket


class SeatSuperseded(Conflict):
    code = "seat_superseded"


class SeatExpired(Conflict):
    code = "seat_expired"


class TicketInvalid(Unauthenticated):
    code = "ticket_invalid"


class FloorFull(Conflict):
    code = "floor_full"


class NotOnStage(Forbidden):
    code = "not_on_stage"


class BadOffer(Invalid):
    """An SDP or answer we cannot use; `reason` is one sentence."""

    code = "bad_sdp"

"""The words of notifications, in English and Arabic: for the app, the socket and e-mail alike."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from liveserver.models.notifications import Notification, NotificationKind

_Words = dict[str, tuple[str, str]]
WORDS: dict[NotificationKind, _Words] = {
    NotificationKind.ENROLLED: {
        "en": ("You are enrolled", "Welcome to “{title}”."),
        "ar": ("تم تسجيلك", "أهلًا بك في «{title}»."),
    },
    NotificationKind.REMOVED: {
        "en": (
            "You were removed from a course",
            "You are no longer in “{title}”. Ask its instructor about it.",
        ),
        "ar": ("أُزلت من دورة", "لم تعد مسجّلًا في «{title}». تواصل مع المدرّس."),
    },
    NotificationKind.COURSE_APPROVED: {
        "en": ("Course approved", "“{title}” is in the catalogue now."),
        "ar": ("قُبلت الدورة", "أصبحت «{title}» في الفهرس الآن."),
    },
    NotificationKind.COURSE_REJECTED: {
        "en": ("Course not approved", "“{title}”: {reason}"),
        "ar": ("لم تُقبل الدورة", "«{title}»: {reason}"),
    },
    NotificationKind.SESSION_SCHEDULED: {
        "en": ("A class was planned", "“{title}” on {startTime}."),
        "ar": ("حُدد موعد حصة", "«{title}» في {startTime}."),
    },
    NotificationKind.SESSION_CHANGED: {
        "en": ("A class was changed", "“{title}” is on {startTime} now."),
        "ar": ("تغيّرت حصة", "«{title}» أصبحت في {startTime}."),
    },
    NotificationKind.SESSION_CANCELLED: {
        "en": ("A class was cancelled", "“{title}” on {startTime} does not take place."),
        "ar": ("أُلغيت حصة", "لن تُعقد «{title}» المقررة في {startTime}."),
    },
    NotificationKind.SESSION_IN_A_DAY: {
        "en": ("Class tomorrow", "“{title}” begins on {startTime}."),
        "ar": ("حصة غدًا", "تبدأ «{title}» في {startTime}."),
    },
    NotificationKind.SESSION_IN_AN_HOUR: {
        "en": ("Class within the hour", "“{title}” begins on {startTime}."),
        "ar": ("حصة خلال ساعة", "تبدأ «{title}» في {startTime}."),
    },
    NotificationKind.SESSION_NOW: {
        "en": ("Your class begins", "It is time for “{title}”."),
        "ar": ("حان موعد حصتك", "حان وقت «{title}»."),
    },
    NotificationKind.SESSION_STARTED: {
        "en": ("The class has started", "“{title}” is live. Come in."),
        "ar": ("بدأت الحصة", "«{title}» مباشرة الآن. تفضّل بالدخول."),
    },
    NotificationKind.CERTIFICATE_ISSUED: {
        "en": ("Your certificate is ready", "You have finished “{title}”."),
        "ar": ("شهادتك جاهزة", "لقد أكملت «{title}»."),
    },
    NotificationKind.PAYMENT_RECEIVED: {
        "en": ("Payment received", "Your payment for “{title}” has arrived."),
        "ar": ("وصلت الدفعة", "وصلت دفعتك مقابل «{title}»."),
    },
    NotificationKind.PAYMENT_REFUNDED: {
        "en": ("Payment refunded", "Your payment for “{title}” was returned."),
        "ar": ("أُعيدت الدفعة", "أُعيدت إليك دفعتك مقابل «{title}»."),
    },
}


# Mails of an account: subject and text.
LINKS: dict[str, _Words] = {
    "reset": {
        "en": (
            "Choose a new password",
            (
                "Hello {name},\n\nchoose a new password here within an hour:\n{link}\n\n"
                "If you did not ask for this, there is nothing to do.\n"
            ),
        ),
        "ar": (
            "اختر كلمة مرور جديدة",
            (
                "مرحبًا {name}،\n\nاختر كلمة مرور جديدة خلال ساعة من هنا:\n{link}\n\n"
                "إن لم تطلب ذلك فتجاهل هذه الرسالة.\n"
            ),
        ),
    },
    "confirm": {
        "en": (
            "Confirm your e-mail",
            "Hello {name},\n\nconfirm your e-mail within three days:\n{link}\n",
        ),
        "ar": (
            "أكّد بريدك الإلكتروني",
            "مرحبًا {name}،\n\nأكّد بريدك الإلكتروني خلال ثلاثة أيام:\n{link}\n",
        ),
    },
    "known": {
        "en": (
            "You have an account already",
            (
                "Hello {name},\n\nsomebody, perhaps you, tried to register with this e-mail."
                " You have an account: sign in, or ask for a new password.\n{link}\n"
            ),
        ),
        "ar": (
            "لديك حساب بالفعل",
            (
                "مرحبًا {name}،\n\nحاول شخص ما، وربما أنت، التسجيل بهذا البريد."
                " لديك حساب بالفعل: سجّل الدخول أو اطلب كلمة مرور جديدة.\n{link}\n"
            ),
        ),
    },
}


def words_of(one: Notification, language: str) -> tuple[str, str]:
    """Return title and body. A time is told in the zone its class was planned in."""
    title, body = WORDS[one.kind][language]
    return title, body.format_map(_Facts(one.facts))


class _Facts(dict[str, str]):
    """What stands between braces; a fact that is missing leaves a dash, never an error."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__({name: str(value) for name, value in facts.items()})
        if "startTime" in facts:
            zone = ZoneInfo(str(facts.get("timezone", "UTC")))
            at = datetime.fromisoformat(str(facts["startTime"])).astimezone(zone)
            self["startTime"] = f"{at:%Y-%m-%d %H:%M} ({zone.key})"

    def __missing__(self, _name: str) -> str:
        return "-"

"""Documents people keep: certificates as PDF, classes as iCalendar."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import segno
from fpdf import FPDF
from icalendar import Alarm, Calendar, Event

from liveserver.models.live_sessions import LiveSession, SessionStatus
from liveserver.models.progress import Certificate

_FONTS = Path(__file__).parent / "fonts"
_PINE, _GREY = (18, 104, 92), (110, 116, 120)
_WORDS = {
    "en": {
        "title": "Certificate of completion",
        "says": "This is to certify that",
        "finished": "has completed the course",
        "taught": "taught by {name}",
        "check": "Check this certificate at",
        "revoked": "REVOKED",
    },
    "ar": {
        "title": "شهادة إتمام",
        "says": "تشهد هذه الوثيقة بأن",
        "finished": "قد أتمّ بنجاح دورة",
        "taught": "بإشراف {name}",
        "check": "للتحقق من الشهادة",
        "revoked": "ملغاة",
    },
}


class Documents:
    """Makes them; `address` is where people open us."""

    def __init__(self, address: str) -> None:
        self._address = address

    def certificate(self, certificate: Certificate) -> bytes:
        """Return an A4 page in the course's language, Arabic shaped and right to left, with a QR code that
        leads to the public check.
        """
        words = _WORDS[certificate.language]
        link = f"{self._address}/certificates/{certificate.code}"
        pdf = FPDF(orientation="landscape", format="A4")
        pdf.set_creation_date(certificate.issued_at)
        pdf.set_title(words["title"])
        pdf.add_font("Cairo", "", _FONTS / "Cairo_400Regular.ttf")
        pdf.add_font("Cairo", "B", _FONTS / "Cairo_700Bold.ttf")
        pdf.set_text_shaping(use_shaping_engine=True)
        pdf.set_auto_page_break(auto=False)
        pdf.add_page()
        pdf.set_draw_color(*_PINE)
        pdf.set_line_width(1.4)
        pdf.rect(10, 10, 277, 190)
        pdf.set_y(32)
        _line(pdf, words["title"], 34, bold=True, color=_PINE)
        _line(pdf, words["says"], 15, color=_GREY, gap=6)
        _line(pdf, certificate.student_name, 30, bold=True, gap=3)
        _line(pdf, words["finished"], 15, color=_GREY, gap=3)
        _line(pdf, certificate.course_title, 24, bold=True, gap=3)
        _line(pdf, words["taught"].format(name=certificate.instructor_name), 14, color=_GREY, gap=3)
        _line(pdf, f"{certificate.issued_at:%Y-%m-%d}", 14, gap=4)
        if certificate.revoked_at is not None:
            _line(pdf, words["revoked"], 20, bold=True, color=(190, 40, 40), gap=2)
        picture = io.BytesIO()
        segno.make(link, error="m").save(picture, kind="png", scale=6, border=1)
        pdf.image(picture, x=22, y=158, w=32)
        pdf.set_xy(58, 170)
        pdf.set_font("Cairo", "", 10)
        pdf.set_text_color(*_GREY)
        pdf.cell(200, 6, words["check"], align="L", new_x="LEFT", new_y="NEXT")
        pdf.cell(200, 6, link, align="L")
        return bytes(pdf.output())

    def calendar(self, session: LiveSession) -> bytes:
        """Return a class as an iCalendar event in its own time zone, with a reminder."""
        zone = ZoneInfo(session.timezone)
        event = Event()
        event.add("uid", f"{session.id}@liveserver")
        event.add("dtstamp", datetime.now(UTC))
        event.add("summary", session.title)
        event.add("description", session.course_title)
        event.add("dtstart", session.start_time.astimezone(zone))
        event.add("dtend", (session.start_time + timedelta(minutes=session.duration)).astimezone(zone))
        event.add("url", f"{self._address}/classes/{session.id}")
        cancelled = session.status is SessionStatus.CANCELLED
        event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", session.title)
        alarm.add("trigger", timedelta(minutes=-15))
        event.add_component(alarm)
        calendar = Calendar()
        calendar.add("prodid", "-//liveserver//classes//EN")
        calendar.add("version", "2.0")
        calendar.add("method", "CANCEL" if cancelled else "PUBLISH")
        calendar.add_component(event)
        calendar.add_missing_timezones()
        return bytes(calendar.to_ical())


def _line(
    pdf: FPDF,
    text: str,
    size: int,
    *,
    bold: bool = False,
    color: tuple[int, int, int] = (20, 24, 26),
    gap: float = 0,
) -> None:
    pdf.ln(gap)
    pdf.set_font("Cairo", "B" if bold else "", size)
    pdf.set_text_color(*color)
    while size > 9 and pdf.get_string_width(text) > 250:
        size -= 1
        pdf.set_font_size(size)
    pdf.set_x(18)
    pdf.multi_cell(261, size * 0.52, text, align="C", new_x="LMARGIN", new_y="NEXT")

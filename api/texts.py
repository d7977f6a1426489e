"""What each refusal says to a person, in English and Arabic: a title and the next step."""

TEXTS: dict[str, dict[str, tuple[str, str]]] = {
    "refused": {
        "en": ("Refused", "The request was refused."),
        "ar": ("مرفوض", "رُفض الطلب."),
    },
    "internal": {
        "en": ("Something broke", "The fault is ours and was noted. Try again in a moment."),
        "ar": ("حدث خلل", "الخلل من جانبنا وقد سُجّل. حاول مجددًا بعد لحظات."),
    },
    "not_found": {
        "en": ("Not found", "There is nothing here, or nothing you may see."),
        "ar": ("غير موجود", "لا يوجد شيء هنا، أو لا يحق لك الاطلاع عليه."),
    },
    "method_not_allowed": {
        "en": ("Method not allowed", "This address does not take that method."),
        "ar": ("طريقة غير مسموحة", "هذا العنوان لا يقبل هذه الطريقة."),
    },
    "bad_request": {
        "en": ("Bad request", "The request cannot be read."),
        "ar": ("طلب غير صالح", "تعذّرت قراءة الطلب."),
    },
    "body_too_large": {
        "en": ("Too large", "The body is larger than 64 KiB."),
        "ar": ("الحجم كبير", "حجم المحتوى يتجاوز 64 كيبيبايت."),
    },
    "malformed_json": {
        "en": ("Malformed JSON", "The body is not valid JSON."),
        "ar": ("JSON غير صالح", "المحتوى ليس JSON صالحًا."),
    },
    "unsupported_media_type": {
        "en": ("Unsupported media type", "Send application/json, not compressed."),
        "ar": ("نوع غير مدعوم", "أرسل application/json دون ضغط."),
    },
    "invalid": {
        "en": ("Check the fields", "Some fields are missing or wrong; `errors` names them."),
        "ar": ("راجع الحقول", "بعض الحقول ناقصة أو خاطئة؛ تجدها في `errors`."),
    },
    "forbidden": {
        "en": ("Not allowed", "You may not do this."),
        "ar": ("غير مسموح", "لا يحق لك القيام بذلك."),
    },
    "conflict": {
        "en": ("Conflict", "The state of this object does not allow it."),
        "ar": ("تعارض", "حالة هذا العنصر لا تسمح بذلك."),
    },
    "unauthenticated": {
        "en": ("Sign in first", "Send an access token as Authorization: Bearer."),
        "ar": ("سجّل الدخول أولًا", "أرسل رمز الدخول في Authorization: Bearer."),
    },
    "token_expired": {
        "en": ("The access token has expired", "Refresh it and try again."),
        "ar": ("انتهت صلاحية رمز الدخول", "جدّده ثم حاول مجددًا."),
    },
    "token_invalid": {
        "en": ("The access token does not count", "Sign in again."),
        "ar": ("رمز الدخول غير صالح", "سجّل الدخول من جديد."),
    },
    "bad_credentials": {
        "en": ("E-mail or password is wrong", "Check both and try again."),
        "ar": ("البريد أو كلمة المرور غير صحيحة", "تحقق منهما وحاول مجددًا."),
    },
    "refresh_invalid": {
        "en": ("You are signed out", "Sign in again."),
        "ar": ("انتهت جلستك", "سجّل الدخول من جديد."),
    },
    "refresh_reuse": {
        "en": ("You are signed out", "An old refresh token was used again. Sign in again."),
        "ar": ("انتهت جلستك", "استُخدم رمز تجديد قديم مرة أخرى. سجّل الدخول من جديد."),
    },
    "too_many_requests": {
        "en": ("Too many tries", "Wait a moment and try again."),
        "ar": ("محاولات كثيرة", "انتظر قليلًا ثم حاول مجددًا."),
    },
    "unknown_host": {
        "en": ("Not a name of this server", "Its operator can add the name to http.allowed_hosts."),
        "ar": ("اسم لا يخص هذا الخادم", "يستطيع مشغّل الخادم إضافة الاسم إلى http.allowed_hosts."),
    },
    "unavailable": {
        "en": ("Not available now", "A part of the server is away. Try again in a moment."),
        "ar": ("غير متاح الآن", "جزء من الخادم متوقف. حاول بعد لحظات."),
    },
    "busy": {
        "en": ("The server is busy", "Many people are signing in. Try again in a moment."),
        "ar": ("الخادم مشغول", "كثيرون يسجّلون الدخول الآن. حاول بعد لحظات."),
    },
    "database_unavailable": {
        "en": ("Not available now", "The database is away. Try again in a moment."),
        "ar": ("غير متاح الآن", "قاعدة البيانات متوقفة. حاول بعد لحظات."),
    },
    "seats_unavailable": {
        "en": ("Seats cannot be given now", "The seat ledger is away. We try again by ourselves."),
        "ar": ("لا يمكن حجز مقعد الآن", "سجل المقاعد متوقف. سنعيد المحاولة تلقائيًا."),
    },
    "seats_rebuilt": {
        "en": ("The seats were counted anew", "Join again."),
        "ar": ("أُعيد عدّ المقاعد", "انضم من جديد."),
    },
    "busy_with_tests": {
        "en": ("Many are testing at the moment", "Try again in a quarter of a minute."),
        "ar": ("كثيرون يختبرون الآن", "حاول مجددًا بعد ربع دقيقة."),
    },
    "media_unavailable": {
        "en": (
            "Video is not available now",
            "The media server is away. We try again by ourselves.",
        ),
        "ar": ("الفيديو غير متاح الآن", "خادم الوسائط متوقف. سنعيد المحاولة تلقائيًا."),
    },
    "account_disabled": {
        "en": ("This account is disabled", "Write to the support."),
        "ar": ("هذا الحساب معطّل", "تواصل مع الدعم."),
    },
    "forbidden_role": {
        "en": ("Not for your role", "Your role does not include this."),
        "ar": ("ليس ضمن دورك", "دورك لا يشمل هذا الإجراء."),
    },
    "not_owner": {
        "en": ("Not yours", "Only the owner may do this."),
        "ar": ("ليس لك", "هذا الإجراء للمالك فقط."),
    },
    "forbidden_origin": {
        "en": ("Wrong origin", "This page may not use the sign-in cookie."),
        "ar": ("مصدر غير مسموح", "هذه الصفحة لا يحق لها استخدام ملف الدخول."),
    },
    "instructor_pending": {
        "en": ("Waiting for approval", "An admin has yet to approve your account."),
        "ar": ("بانتظار الموافقة", "لم يوافق المشرف على حسابك بعد."),
    },
    "registration_closed": {
        "en": ("Registration is closed", "Ask the school for an account."),
        "ar": ("التسجيل مغلق", "اطلب حسابًا من المؤسسة."),
    },
    "email_taken": {
        "en": ("This e-mail has an account", "Sign in, or use another e-mail."),
        "ar": ("هذا البريد مسجّل", "سجّل الدخول أو استخدم بريدًا آخر."),
    },
    "not_enrolled": {
        "en": ("You are not enrolled", "Enrol in the course first."),
        "ar": ("لست مسجّلًا في الدورة", "سجّل في الدورة أولًا."),
    },
    "removed": {
        "en": ("You were removed", "Contact the instructor."),
        "ar": ("أُزلت من هنا", "تواصل مع المدرّس."),
    },
    "course_closed": {
        "en": ("The course is closed", "Its review failed. Your progress and certificates are kept."),
        "ar": ("الدورة مغلقة", "لم تجتز الدورة المراجعة. تقدّمك وشهاداتك محفوظة."),
    },
    "payment_required": {
        "en": ("This course has a price", "Pay to enrol."),
        "ar": ("هذه الدورة مدفوعة", "ادفع للتسجيل."),
    },
    "needs_lesson": {
        "en": ("The course is empty", "Add at least one lesson."),
        "ar": ("الدورة فارغة", "أضف درسًا واحدًا على الأقل."),
    },
    "wrong_state": {
        "en": ("Not in this state", "The state of this object does not allow it."),
        "ar": ("الحالة لا تسمح", "حالة هذا العنصر لا تسمح بذلك."),
    },
    "mail_off": {
        "en": ("No e-mail here", "This school sends no e-mail. Ask an admin to help you."),
        "ar": ("لا بريد هنا", "هذه المؤسسة لا ترسل بريدًا. اطلب المساعدة من المشرف."),
    },
    "email_link_invalid": {
        "en": ("This link does not count", "It was used or is too old. Ask for a new one."),
        "ar": ("الرابط غير صالح", "استُخدم أو انتهت مدته. اطلب رابطًا جديدًا."),
    },
    "email_unverified": {
        "en": ("Confirm your e-mail first", "Open the link in the mail we sent you."),
        "ar": ("أكّد بريدك أولًا", "افتح الرابط في الرسالة التي أرسلناها إليك."),
    },
    "payments_off": {
        "en": ("No payments here", "This school takes no payments. Ask it how to get in."),
        "ar": ("لا مدفوعات هنا", "هذه المؤسسة لا تستقبل مدفوعات. اسألها عن طريقة التسجيل."),
    },
    "already_owned": {
        "en": ("You have this course", "Open it from your courses."),
        "ar": ("لديك هذه الدورة", "افتحها من دوراتك."),
    },
    "nothing_to_pay": {
        "en": ("This course is free", "Enrol without paying."),
        "ar": ("هذه الدورة مجانية", "سجّل دون دفع."),
    },
    "coupon_invalid": {
        "en": ("This coupon does not count", "Check it, or go on without."),
        "ar": ("القسيمة غير صالحة", "تحقق منها أو تابع دونها."),
    },
    "coupon_taken": {
        "en": ("There is such a coupon", "Choose another code."),
        "ar": ("القسيمة موجودة", "اختر رمزًا آخر."),
    },
    "idempotency_key_reused": {
        "en": ("The key stands for another request", "Use a new Idempotency-Key."),
        "ar": ("المفتاح مستخدم لطلب آخر", "استخدم Idempotency-Key جديدًا."),
    },
    "checkout_expired": {
        "en": ("The time to pay is over", "Nothing was charged. Begin the payment again."),
        "ar": ("انتهت مهلة الدفع", "لم يُخصم شيء. ابدأ الدفع من جديد."),
    },
    "in_flight": {
        "en": ("Being worked on", "Ask again in a moment."),
        "ar": ("قيد التنفيذ", "أعد الطلب بعد لحظات."),
    },
    "payment_provider_down": {
        "en": ("The payment service does not answer", "Nothing was charged. Try again later."),
        "ar": ("خدمة الدفع لا تستجيب", "لم يُخصم شيء. حاول لاحقًا."),
    },
    "bad_signature": {
        "en": ("Wrong signature", "Only the payment provider may send this."),
        "ar": ("توقيع خاطئ", "هذا الطلب لمزوّد الدفع فقط."),
    },
    "store_unavailable": {
        "en": ("Files are not available now", "The file store is away. Try again in a moment."),
        "ar": ("الملفات غير متاحة الآن", "مخزن الملفات متوقف. حاول بعد لحظات."),
    },
    "quota_exceeded": {
        "en": ("No space left", "Delete what you no longer need, or ask an admin for more space."),
        "ar": ("لا توجد مساحة كافية", "احذف ما لا تحتاجه أو اطلب مساحة أكبر من المشرف."),
    },
    "upload_incomplete": {
        "en": ("The upload is not complete", "Send the missing parts, then finish it again."),
        "ar": ("لم يكتمل الرفع", "أرسل الأجزاء الناقصة ثم أكمل الرفع."),
    },
    "no_content": {
        "en": ("Nothing here yet", "The teacher has not uploaded this lesson's content yet."),
        "ar": ("لا محتوى بعد", "لم يرفع المدرّس محتوى هذا الدرس بعد."),
    },
    "video_processing": {
        "en": ("The video is being prepared", "It can be watched in a few minutes."),
        "ar": ("الفيديو قيد التجهيز", "ستتمكن من مشاهدته خلال دقائق."),
    },
    "video_failed": {
        "en": ("The video cannot be played", "The teacher has to upload it again."),
        "ar": ("تعذّر تشغيل الفيديو", "على المدرّس رفعه من جديد."),
    },
    "too_many_playbacks": {
        "en": ("Too many videos at once", "Close a video on another device, then try again."),
        "ar": ("مقاطع كثيرة في آن واحد", "أغلق مقطعًا على جهاز آخر ثم حاول مجددًا."),
    },
    "playback_ended": {
        "en": ("The playback has ended", "Start the video again."),
        "ar": ("انتهت جلسة المشاهدة", "شغّل الفيديو من جديد."),
    },
    "stale_version": {
        "en": ("Changed meanwhile", "Somebody else changed this. Load it again, then repeat your change."),
        "ar": ("تغيّر في الأثناء", "عدّل شخص آخر هذا العنصر. أعد تحميله ثم كرر تعديلك."),
    },
    "session_live": {
        "en": ("A class is running", "End the live class first."),
        "ar": ("هناك حصة جارية", "أنهِ الحصة المباشرة أولًا."),
    },
    "locked": {
        "en": ("This lesson is not open yet", "Finish the lesson before it, or wait until it opens."),
        "ar": ("لم يُفتح هذا الدرس بعد", "أكمل الدرس السابق أو انتظر موعد فتحه."),
    },
    "wrong_type": {
        "en": ("Another kind of lesson", "This lesson has no such content."),
        "ar": ("نوع درس آخر", "لا يحتوي هذا الدرس على هذا المحتوى."),
    },
    "threshold_not_reached": {
        "en": ("Not finished yet", "Watch or attend more of it first."),
        "ar": ("لم يكتمل بعد", "شاهد أو احضر قدرًا أكبر أولًا."),
    },
    "not_yourself": {
        "en": ("Not your own account", "Ask another admin to do this."),
        "ar": ("ليس على حسابك", "اطلب ذلك من مشرف آخر."),
    },
    "last_admin": {
        "en": ("The last admin", "Make somebody else an admin first."),
        "ar": ("آخر مشرف", "عيّن مشرفًا آخر أولًا."),
    },
    "overlap": {
        "en": ("Two classes at once", "The instructor has another class at that time. Choose another time."),
        "ar": ("حصتان في وقت واحد", "لدى المدرّس حصة أخرى في هذا الوقت. اختر وقتًا آخر."),
    },
    "too_early": {
        "en": ("Too early", "The class can be started a little before its start time."),
        "ar": ("ما زال الوقت مبكرًا", "يمكن بدء الحصة قبل موعدها بقليل."),
    },
    "session_not_started": {
        "en": (
            "The class has not started",
            "Check your devices; it opens when the teacher starts.",
        ),
        "ar": ("لم تبدأ الحصة بعد", "افحص أجهزتك؛ ستُفتح عندما يبدأ المدرّس."),
    },
    "session_full": {
        "en": ("The class is full", "Every seat is taken. Try again when somebody leaves."),
        "ar": ("الحصة ممتلئة", "كل المقاعد مشغولة. حاول عندما يغادر أحدهم."),
    },
    "session_ended": {
        "en": ("The class is over", "See when the next one is."),
        "ar": ("انتهت الحصة", "اطّلع على موعد الحصة القادمة."),
    },
    "session_cancelled": {
        "en": ("The class was cancelled", "See when the next one is."),
        "ar": ("أُلغيت الحصة", "اطّلع على موعد الحصة القادمة."),
    },
    "seat_superseded": {
        "en": ("You joined from another device", "Take over again here."),
        "ar": ("دخلت من جهاز آخر", "يمكنك المتابعة من هنا مجددًا."),
    },
    "seat_expired": {
        "en": ("Your seat has expired", "Join again."),
        "ar": ("انتهت مهلة مقعدك", "انضم من جديد."),
    },
    "ticket_invalid": {
        "en": ("This ticket does not count", "Join again for a new one."),
        "ar": ("التذكرة غير صالحة", "انضم من جديد للحصول على تذكرة."),
    },
    "floor_full": {
        "en": ("Too many have the floor", "Somebody must give it back first."),
        "ar": ("الكلمة مع كثيرين", "يجب أن يعيدها أحدهم أولًا."),
    },
    "not_on_stage": {
        "en": ("You do not have the floor", "Raise your hand."),
        "ar": ("ليست لديك الكلمة", "ارفع يدك."),
    },
    "bad_sdp": {
        "en": ("The media offer cannot be used", "Reload the page, or use another browser."),
        "ar": ("عرض الوسائط غير صالح", "أعد تحميل الصفحة أو استخدم متصفحًا آخر."),
    },
}


def text(code: str, language: str) -> tuple[str, str]:
    """Return title and detail of a code."""
    return TEXTS.get(code, TEXTS["refused"])[language]

import { useTranslation } from "react-i18next";

/** Digits as in the interface: Latin ones in both languages, so that times and seats read alike. */
function localeOf(language: string): string {
  return language === "ar" ? "ar-EG-u-nu-latn" : "en-GB";
}

export function usePrice(): (minor: number, currency: string) => string {
  const { t, i18n } = useTranslation();
  return (minor, currency) => {
    if (!minor) return t("common.free");
    const format = new Intl.NumberFormat(localeOf(i18n.language), { style: "currency", currency });
    const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
    return format.format(minor / 10 ** digits);
  };
}

export function useWhen(): {
  moment: (iso: string) => string;
  time: (iso: string) => string;
  span: (seconds: number) => string;
} {
  const { i18n } = useTranslation();
  const locale = localeOf(i18n.language);
  return {
    moment: (iso) =>
      new Intl.DateTimeFormat(locale, {
        weekday: "short",
        day: "numeric",
        month: "short",
        hour: "2-digit",
        minute: "2-digit",
      }).format(new Date(iso)),
    time: (iso) =>
      new Intl.DateTimeFormat(locale, {
        hour: "2-digit",
        minute: "2-digit",
        second: "2-digit",
      }).format(new Date(iso)),
    span: (seconds) => {
      const whole = Math.max(0, Math.floor(seconds));
      const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
      return parts.map((part) => String(part).padStart(2, "0")).join(":");
    },
  };
}

import i18n from "i18next";
import { initReactI18next } from "react-i18next";
import { ar } from "./ar";
import { en } from "./en";

export type Language = "en" | "ar";
const KEY = "liveserver.language";

export function directionOf(language: string): "rtl" | "ltr" {
  return language === "ar" ? "rtl" : "ltr";
}

function remembered(): Language {
  try {
    const stored = localStorage.getItem(KEY);
    if (stored === "ar" || stored === "en") return stored;
  } catch {
    // Storage may be forbidden; the browser's language decides then.
  }
  return navigator.language.startsWith("ar") ? "ar" : "en";
}

/** Switch the language of every page, without a reload. */
export async function speak(language: Language): Promise<void> {
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // It is forgotten with the page, and works until then.
  }
  await i18n.changeLanguage(language);
}

function showDirection(language: string): void {
  document.documentElement.lang = language;
  document.documentElement.dir = directionOf(language);
}

i18n.on("languageChanged", showDirection);
void i18n.use(initReactI18next).init({
  resources: { en: { translation: en }, ar: { translation: ar } },
  lng: remembered(),
  fallbackLng: "en",
  interpolation: { escapeValue: false },
});
showDirection(i18n.language);

export { i18n };

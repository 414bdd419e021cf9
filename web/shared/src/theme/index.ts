/** Appearance and text size: applied to <html>, remembered on this device, followed by every app. */
import { remember } from "../store";
import type { Language } from "../i18n";
import { preferred } from "../i18n";

export type Theme = "auto" | "light" | "dark";
export interface Preferences {
  readonly language: Language;
  readonly theme: Theme;
  readonly large: boolean;
  /** What `theme` comes to now. */
  readonly dark: boolean;
}

const THEMES: readonly Theme[] = ["auto", "light", "dark"];

export class PreferenceHolder {
  private readonly listeners = new Set<() => void>();
  private readonly system = matchMedia("(prefers-color-scheme: dark)");
  private current: Preferences;

  constructor() {
    const theme = THEMES.find((each) => each === remember.get("theme")) ?? "auto";
    const language = remember.get("language");
    this.current = this.of({
      theme,
      language: language === "en" || language === "zh-CN" ? language : preferred(navigator.languages),
      large: remember.get("large") === "true",
    });
    this.system.addEventListener("change", () => this.set({}));
    this.apply();
  }

  readonly get = (): Preferences => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  readonly set = (change: Partial<Omit<Preferences, "dark">>): void => {
    this.current = this.of({ ...this.current, ...change });
    remember.set("language", this.current.language);
    remember.set("theme", this.current.theme);
    remember.set("large", String(this.current.large));
    this.apply();
    for (const listener of this.listeners) listener();
  };

  private of(chosen: Omit<Preferences, "dark">): Preferences {
    return { ...chosen, dark: chosen.theme === "dark" || (chosen.theme === "auto" && this.system.matches) };
  }

  private apply(): void {
    const html = document.documentElement;
    html.lang = this.current.language;
    html.dataset["theme"] = this.current.dark ? "dark" : "light";
    html.dataset["large"] = String(this.current.large);
  }
}

/** Blank while the app is not looked at, so that the app switcher's picture shows nothing. Where the platform tells us in time. */
export function coverWhenHidden(): void {
  const html = document.documentElement;
  const look = (): void => {
    html.dataset["covered"] = String(document.visibilityState === "hidden");
  };
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", () => (html.dataset["covered"] = "true"));
  addEventListener("pageshow", look);
}

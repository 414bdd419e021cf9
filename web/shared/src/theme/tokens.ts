/** The look as values: theme.css carries the same as variables, and a test holds them together. Libraries that compute need values. */
export const LIGHT = {
  primary: "#0f6f70", onPrimary: "#ffffff", ground: "#f4f7f7", surface: "#ffffff", raised: "#ffffff", line: "#d9e2e2",
  text: "#17282b", muted: "#54676a", danger: "#b3261e", warning: "#8a5200", success: "#1b6e3c", accent: "#e6f2f1",
} as const;

export const DARK: Record<keyof typeof LIGHT, string> = {
  primary: "#5cc4bf", onPrimary: "#04282a", ground: "#0e1718", surface: "#162224", raised: "#1d2c2e", line: "#2d4043",
  text: "#e7f0f0", muted: "#a3b7b9", danger: "#ff9a90", warning: "#f0b760", success: "#7fd29a", accent: "#173536",
};

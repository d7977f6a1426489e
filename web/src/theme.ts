import { createTheme, type MantineColorsTuple } from "@mantine/core";

const pine: MantineColorsTuple = [
  "#e9f8f5",
  "#d3efe9",
  "#a5dfd3",
  "#73cfbb",
  "#4bc1a8",
  "#32b89b",
  "#1f8f78",
  "#14705e",
  "#0c5548",
  "#063f35",
];

const amber: MantineColorsTuple = [
  "#fff6e6",
  "#ffeacc",
  "#ffd49a",
  "#ffbc63",
  "#ffa836",
  "#ff9b18",
  "#f08c06",
  "#c97200",
  "#9f5900",
  "#774100",
];

export const theme = createTheme({
  primaryColor: "pine",
  primaryShade: { light: 7, dark: 5 },
  colors: { pine, amber },
  fontFamily: "'Cairo Variable', system-ui, sans-serif",
  headings: { fontFamily: "'Cairo Variable', system-ui, sans-serif", fontWeight: "700" },
  defaultRadius: "md",
  cursorType: "pointer",
});

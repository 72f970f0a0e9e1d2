// The colour of a run is the one TensorBoard gives it: its palette, in the order of the run names.

const LIGHT = ["#425066", "#12b5cb", "#e52592", "#f9ab00", "#9334e6", "#7cb342", "#e8710a"];
const DARK = ["#8e98a3", ...LIGHT.slice(1)];

export function runColour(number, theme) {
  const palette = theme === "dark" ? DARK : LIGHT;
  return palette[number % palette.length];
}

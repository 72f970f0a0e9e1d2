// Runs have the colours that TensorBoard gives them: its palette, in its order of runs.

const LIGHT = ["#425066", "#12b5cb", "#e52592", "#f9ab00", "#9334e6", "#7cb342", "#e8710a"];
const DARK = ["#8e98a3", ...LIGHT.slice(1)];

/**
 * `runs` are those of the index; `colour` is that of TensorBoard's own list where it was seen, `place` is where TensorBoard
 * lists a run, missing in the comparison page.
 */
export function runColour(runs, name, theme) {
  const number = runs.findIndex((run) => run.name === name);
  const palette = theme === "dark" ? DARK : LIGHT;
  return runs[number].colour ?? palette[(runs[number].place ?? number) % palette.length];
}

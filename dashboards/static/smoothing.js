// Aligns and smooths the curves of several runs.

/** Exponential moving average with TensorBoard's start correction; gaps stay gaps. `weight` 0 = as measured, < 1. */
export function smooth(values, weight) {
  let average = 0;
  let count = 0;
  return values.map((value) => {
    if (value === null || weight === 0) return value;
    average = average * weight + (1 - weight) * value;
    count += 1;
    return average / (1 - weight ** count);
  });
}

/** [steps, values of run 1, values of run 2, …] over all steps, null where a run has none. `series` [[[step, value], …], …]. */
export function align(series) {
  const steps = [...new Set(series.flat().map(([step]) => step))].sort((a, b) => a - b);
  return [steps, ...series.map((points) => {
    const known = new Map(points);
    return steps.map((step) => known.get(step) ?? null);
  })];
}

// The fast Fourier transform (Cooley and Tukey 1965), and what is made of two real signals with one of them.

const tables = new Map(); // length → cosines and sines of half a turn

function turns(length) {
  if (!tables.has(length)) {
    const angles = Float64Array.from({ length: length / 2 }, (_, k) => (2 * Math.PI * k) / length);
    tables.set(length, { cosines: angles.map(Math.cos), sines: angles.map(Math.sin) });
  }
  return tables.get(length);
}

/** Transforms in place; lengths are powers of two. */
export function fourier(real, imaginary) {
  const n = real.length;
  const { cosines, sines } = turns(n);
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i >= j) continue;
    const [re, im] = [real[i], imaginary[i]];
    real[i] = real[j];
    imaginary[i] = imaginary[j];
    real[j] = re;
    imaginary[j] = im;
  }
  for (let half = 1; half < n; half *= 2) {
    const part = n / (2 * half);
    for (let start = 0; start < n; start += 2 * half) {
      for (let at = start, turn = 0; at < start + half; at++, turn += part) {
        const other = at + half;
        const re = real[other] * cosines[turn] + imaginary[other] * sines[turn];
        const im = imaginary[other] * cosines[turn] - real[other] * sines[turn];
        real[other] = real[at] - re;
        imaginary[other] = imaginary[at] - im;
        real[at] += re;
        imaginary[at] += im;
      }
    }
  }
}

/** Writes the power spectra of two real signals; transforms both in place. */
export function powerOfTwo(first, second, firstPower, secondPower) {
  fourier(first, second);
  const n = first.length;
  for (let k = 0; k < n; k++) {
    const mirror = (n - k) % n;
    firstPower[k] = ((first[k] + first[mirror]) ** 2 + (second[k] - second[mirror]) ** 2) / 4;
    secondPower[k] = ((second[k] + second[mirror]) ** 2 + (first[k] - first[mirror]) ** 2) / 4;
  }
}

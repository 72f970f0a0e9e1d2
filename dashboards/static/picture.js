// Draws a clip: waveform above, log-mel spectrogram with the pitch below, seconds along the bottom.

import { BANDS } from "./mel.js";
import { HIGH_HZ, LOW_HZ } from "./pitch.js";

const WAVE = 36; // heights in pixels
const MEL = 60;
const AXIS = 13;
export const HEIGHT = WAVE + MEL + AXIS;

const INK = {
  light: { wave: "#5f6b7a", clipped: "#c5221f", axis: "#5f6368", pitch: "#d6006c", mel: ["#f5f7fa", "#c3d3e8", "#6d93c4", "#2b4d86", "#0c1c3f"] },
  dark: { wave: "#a7b3c2", clipped: "#ff8a80", axis: "#a9b0b8", pitch: "#ff5cb0", mel: ["#191d23", "#26405e", "#3f7a9c", "#8cc3b5", "#fdf3c4"] },
};

/** Draws `picture` so that `spanSeconds` fill the `cssWidth` pixels; the clips of a row share one span. */
export function drawPicture(canvas, picture, { spanSeconds, theme, cssWidth }) {
  const width = Math.max(60, cssWidth || 200);
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(HEIGHT * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const ink = INK[theme];
  if (picture) {
    const used = Math.max(1, (picture.seconds / spanSeconds) * width);
    drawWave(context, picture.peaks, used, ink);
    context.drawImage(melImage(picture.mel, ink.mel), 0, WAVE, used, MEL);
    drawPitch(context, picture.pitch, used, ink);
    context.fillStyle = ink.axis;
    context.font = "9px system-ui, sans-serif";
    context.textAlign = "right";
    context.textBaseline = "top";
    if (used < width - 26) context.fillText(`${picture.mel.topHz / 1000} kHz`, width - 1, WAVE + 1);
    if (used < width - 26) context.fillText("0", width - 1, WAVE + MEL - 9);
  }
  drawSeconds(context, spanSeconds, width, ink);
}

function drawWave(context, { low, high }, width, ink) {
  const middle = WAVE / 2;
  const columns = low.length;
  const x = (column) => ((column + 0.5) * width) / columns;
  context.beginPath();
  for (let column = 0; column < columns; column++) context.lineTo(x(column), middle - Math.max(high[column], 0.02) * middle);
  for (let column = columns - 1; column >= 0; column--) context.lineTo(x(column), middle - Math.min(low[column], -0.02) * middle);
  context.fillStyle = ink.wave;
  context.fill();
  context.fillStyle = ink.clipped;
  for (let column = 0; column < columns; column++) {
    if (high[column] > 0.999 || low[column] < -0.999) context.fillRect(x(column) - 1, 0, 2, WAVE);
  }
}

/** The pitch on a logarithmic scale of its own, LOW_HZ to HIGH_HZ from bottom to top of the spectrogram. */
function drawPitch(context, pitch, width, ink) {
  context.beginPath();
  pitch.forEach((hz, frame) => {
    if (!hz) return;
    const x = ((frame + 0.5) * width) / pitch.length;
    const y = WAVE + MEL * (1 - Math.log(hz / LOW_HZ) / Math.log(HIGH_HZ / LOW_HZ));
    if (pitch[frame - 1]) context.lineTo(x, y);
    else context.moveTo(x - 0.5, y);
  });
  context.strokeStyle = ink.pitch;
  context.lineWidth = 1.5;
  context.stroke();
}

function melImage({ levels, frames }, stops) {
  const canvas = document.createElement("canvas");
  canvas.width = frames;
  canvas.height = BANDS;
  const context = canvas.getContext("2d");
  const image = context.createImageData(frames, BANDS);
  const colours = ramp(stops);
  for (let frame = 0; frame < frames; frame++) {
    for (let band = 0; band < BANDS; band++) {
      const from = 3 * levels[frame * BANDS + band];
      const to = 4 * ((BANDS - 1 - band) * frames + frame);
      image.data[to] = colours[from];
      image.data[to + 1] = colours[from + 1];
      image.data[to + 2] = colours[from + 2];
      image.data[to + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** 256 colours [256 * 3] between the stops. */
export function ramp(stops) {
  const parts = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  return Uint8Array.from({ length: 768 }, (_, i) => {
    const place = (Math.floor(i / 3) / 255) * (parts.length - 1);
    const left = Math.min(parts.length - 2, Math.floor(place));
    return Math.round(parts[left][i % 3] + (parts[left + 1][i % 3] - parts[left][i % 3]) * (place - left));
  });
}

function drawSeconds(context, spanSeconds, width, ink) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60].find((size) => (size / spanSeconds) * width >= 34) ?? 60;
  context.fillStyle = ink.axis;
  context.font = "9px system-ui, sans-serif";
  context.textBaseline = "bottom";
  for (let tick = 0; tick * step <= spanSeconds + 1e-9; tick++) {
    const x = ((tick * step) / spanSeconds) * width;
    context.textAlign = tick === 0 ? "left" : x > width - 16 ? "right" : "center";
    context.fillRect(Math.min(x, width - 1), WAVE + MEL, 1, 3);
    context.fillText(`${Number((tick * step).toFixed(1))}${tick === 0 ? " s" : ""}`, x, HEIGHT + 1);
  }
}

// Loads, decodes and caches clips. Nothing is fetched before it is needed.
//
// A clip is { run, voice, file, version, seconds, sample_rate }; a source has `bytes(clip) -> Promise<ArrayBuffer>`.

import { melLevels, peaks } from "./mel.js";
import { pitchLine } from "./pitch.js";
import { seeded } from "./random.js";

const COLUMNS = 240; // of a picture
const KEPT_PICTURES = 3000; // about 45 MB
const KEPT_BUFFERS = 120; // decoded clips kept: about 35 MB of 3-second clips
const AT_ONCE = 4;
const IDLE_MS = 500; // after which a picture waits no longer

/** The key of the file of a clip, unique across runs. */
export function fileKey(clip) {
  return `${clip.run}/${clip.voice}/${clip.file}`;
}

/** The key of a clip: a file that was written again is another clip, and so is one that is played in noise. */
export function clipKey(clip) {
  const key = `${fileKey(clip)} ${clip.version ?? ""}`;
  return clip.noise_snr_db === undefined ? key : `${key} in noise of ${clip.noise_snr_db} dB`;
}

export class Clips {
  constructor(source) {
    this.source = source;
    this.buffers = new Map(); // key → Promise<AudioBuffer>, oldest first
    this.pictures = new Map(); // key → { peaks, mel }
    this.waiting = [];
    this.busy = 0;
  }

  /** The decoded clip at its own sample rate. Rejects where it cannot be read. */
  buffer(clip) {
    const key = clipKey(clip);
    const known = this.buffers.get(key);
    this.buffers.delete(key);
    const loaded = known ?? this.decode(clip);
    this.buffers.set(key, loaded);
    loaded.catch(() => this.buffers.delete(key));
    if (this.buffers.size > KEPT_BUFFERS) this.buffers.delete(this.buffers.keys().next().value);
    return loaded;
  }

  async decode(clip) {
    const bytes = await this.source.bytes(clip);
    const buffer = await new OfflineAudioContext(1, 1, clip.sample_rate).decodeAudioData(bytes).catch(() => {
      throw new Error("it is damaged");
    });
    if (clip.noise_snr_db !== undefined) addNoise(buffer.getChannelData(0), clip.noise_snr_db);
    return buffer;
  }

  /** The picture of a clip if it is cached. */
  knownPicture(clip) {
    return this.pictures.get(clipKey(clip)) ?? null;
  }

  /** Queues a picture; draws it if `wanted()` still holds at its turn, then calls `done(picture)`, or `done(null, reason)`. */
  askPicture(clip, wanted, done) {
    this.waiting.push({ clip, wanted, done });
    this.work();
  }

  async work() {
    if (this.busy >= AT_ONCE) return;
    const job = this.waiting.shift();
    if (!job) return;
    this.busy += 1;
    try {
      if (job.wanted()) job.done(await this.picture(job.clip));
    } catch (error) {
      job.done(null, error.message);
    }
    this.busy -= 1;
    this.work();
  }

  async picture(clip) {
    const known = this.knownPicture(clip);
    if (known) return known;
    const buffer = await this.buffer(clip);
    const samples = buffer.getChannelData(0);
    const picture = { seconds: buffer.duration };
    await idle();
    Object.assign(picture, { peaks: peaks(samples, COLUMNS), mel: melLevels(samples, buffer.sampleRate, COLUMNS) });
    await idle();
    picture.pitch = pitchLine(samples, buffer.sampleRate, COLUMNS / 2);
    this.pictures.set(clipKey(clip), picture);
    if (this.pictures.size > KEPT_PICTURES) this.pictures.delete(this.pictures.keys().next().value);
    return picture;
  }
}

/** Waits until the browser has nothing else to do, but not for long: keys and clicks go before pictures. */
function idle() {
  return new Promise((done) => (window.requestIdleCallback ? requestIdleCallback(done, { timeout: IDLE_MS }) : setTimeout(done)));
}

/** Adds white noise `snrDb` below the power of the samples, in place; always the same noise. */
export function addNoise(samples, snrDb) {
  const random = seeded("noise");
  const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
  const reach = Math.sqrt(3 * power * 10 ** (-snrDb / 10)); // of uniform noise of that power
  for (let i = 0; i < samples.length; i++) samples[i] += reach * (2 * random() - 1);
}

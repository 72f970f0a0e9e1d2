// Plays one clip at a time and can switch clips at the same position.

import { clipKey } from "./clips.js";
import { matchingGainDb } from "./loudness.js";

const FADE_S = 0.012; // short enough to be heard as a switch, long enough not to click

export class Player {
  /** `changed()` is called whenever the clip or the playback state changes. */
  constructor(clips, changed) {
    this.clips = clips;
    this.changed = changed;
    this.clip = null;
    this.buffer = null;
    this.loop = false;
    this.failed = null; // the clip that could not be read
    this.reason = ""; // and why
    this.node = null; // the audio node that is playing
    this.gain = null; // its volume
    this.gainDb = null; // of the clip that was started last
    this.startedAt = 0; // context time of position 0 of the playing clip
    this.rest = 0; // position while paused
    this.matched = false; // whether loudness is matched
    this.asked = 0; // number of the newest request: late answers to older ones are dropped
  }

  get playing() {
    return this.node !== null;
  }

  /** Seconds from the start of the clip. */
  get position() {
    if (!this.node) return this.rest;
    const passed = this.context.currentTime - this.startedAt;
    return this.loop ? passed % this.buffer.duration : Math.min(passed, this.buffer.duration);
  }

  isAt(clip) {
    return Boolean(clip && this.clip && clipKey(clip) === clipKey(this.clip));
  }

  /** Selects a clip. If another one was playing, playback continues in it at the same position. */
  async choose(clip) {
    if (this.isAt(clip)) return;
    if (this.playing) {
      await this.play(clip, this.position);
    } else {
      this.asked += 1;
      this.clip = clip;
      this.buffer = null;
      this.changed();
    }
  }

  /** Plays from `position` seconds, or from 0 if that is past the end. */
  async play(clip, position = this.rest) {
    const request = ++this.asked;
    this.context ??= new AudioContext();
    const resumed = this.context.resume();
    let buffer;
    try {
      buffer = await this.clips.buffer(clip);
      await resumed;
    } catch (error) {
      if (request === this.asked) this.fail(clip, error.message);
      return;
    }
    if (request !== this.asked) return;
    // The old clip played on while the new one was loading: use its current position.
    const start = this.playing && !this.isAt(clip) ? this.position : position;
    this.silence();
    this.clip = clip;
    this.buffer = buffer;
    this.failed = null;
    this.start(start < buffer.duration ? start : 0);
  }

  start(position) {
    const node = new AudioBufferSourceNode(this.context, { buffer: this.buffer, loop: this.loop });
    this.gainDb = this.matched ? matchingGainDb(this.buffer.getChannelData(0)) : 0;
    const level = 10 ** (this.gainDb / 20);
    this.gain = new GainNode(this.context, { gain: position > 0 ? 0 : level });
    if (position > 0) this.gain.gain.setValueAtTime(0, this.context.currentTime).linearRampToValueAtTime(level, this.context.currentTime + FADE_S);
    node.connect(this.gain).connect(this.context.destination);
    node.onended = () => {
      if (this.node !== node) return;
      this.node = null;
      this.rest = 0;
      this.ended();
      this.changed();
    };
    node.start(0, position);
    this.startedAt = this.context.currentTime - position;
    this.node = node;
    this.changed();
  }

  /** Called when a clip was played to its end; replaced by who needs it. */
  ended() {}

  pause() {
    this.asked += 1;
    this.rest = this.position;
    this.silence();
    this.changed();
  }

  /** Go to a position, playing or not. */
  seek(position) {
    this.rest = Math.max(0, position);
    if (this.playing) {
      this.silence();
      this.start(Math.min(this.rest, this.buffer.duration - 0.001));
    } else {
      this.changed();
    }
  }

  setLoop(loop) {
    const position = this.position;
    this.loop = loop;
    if (this.playing) {
      this.silence();
      this.start(position);
    }
  }

  /** Fades the playing clip out; one that starts meanwhile fades in, so that a switch does not click. */
  silence() {
    const { node, gain } = this;
    this.node = null;
    if (!node) return;
    const now = this.context.currentTime;
    gain.gain.cancelScheduledValues(now).setValueAtTime(gain.gain.value, now).linearRampToValueAtTime(0, now + FADE_S);
    node.stop(now + FADE_S);
  }

  fail(clip, reason) {
    this.silence();
    this.failed = clip;
    this.reason = reason;
    this.clip = clip;
    this.rest = 0;
    this.changed();
  }
}

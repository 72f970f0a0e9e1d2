// Plays one clip at a time and can switch clips at the same position.

import { clipKey } from "./clips.js";
import { matchingGainDb } from "./loudness.js";

export class Player {
  /** `changed()` is called whenever the clip or the playback state changes. */
  constructor(clips, changed) {
    this.clips = clips;
    this.changed = changed;
    this.clip = null;
    this.buffer = null;
    this.loop = false;
    this.failed = null; // the clip that could not be read
    this.node = null; // the audio node that is playing
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
    } catch {
      if (request === this.asked) this.fail(clip);
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
    const gain = new GainNode(this.context, { gain: this.matched ? 10 ** (matchingGainDb(this.buffer.getChannelData(0)) / 20) : 1 });
    node.connect(gain).connect(this.context.destination);
    node.onended = () => {
      if (this.node !== node) return;
      this.node = null;
      this.rest = 0;
      this.changed();
    };
    node.start(0, position);
    this.startedAt = this.context.currentTime - position;
    this.node = node;
    this.changed();
  }

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

  silence() {
    const node = this.node;
    this.node = null;
    node?.stop();
  }

  fail(clip) {
    this.silence();
    this.failed = clip;
    this.clip = clip;
    this.rest = 0;
    this.changed();
  }
}

// Plays a clip and its examples, and moves the line in the spectrogram.

import { soundPath } from "./server.js";

const STEP = 0.5; // seconds that an arrow moves in the slider
const REMEDY = "Mark it unusable (X), or skip it (→).";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Player {
  /**
   * @param parts    elements by name: sound (holds what plays), slider, image, playhead, marks, hint, play, playText, half, position.
   * @param remember [read, write] of whether sounds play at half speed.
   */
  constructor(parts, remember) {
    this.parts = parts;
    this.audio = new Audio();
    this.shown = null;
    this.example = null; // {audio, button} that plays
    [this.slow, this.rememberSlow] = [remember[0](), remember[1]];
    this.showSpeed();
    parts.play.addEventListener("click", () => this.toggle());
    parts.half.addEventListener("click", () => this.switchSpeed());
    parts.slider.addEventListener("keydown", (event) => this.sliderKey(event));
    parts.slider.addEventListener("pointerdown", (event) => this.drag(event));
    this.frame = this.frame.bind(this);
  }

  /** Shows a clip, and plays it at once where the browser allows. */
  show(ready) {
    this.stopExample();
    this.audio.pause();
    this.shown = ready;
    this.audio = ready.audio;
    this.audio.id = "audio";
    this.parts.sound.replaceChildren(this.audio);
    for (const event of ["play", "pause", "ended", "timeupdate", "seeked", "durationchange"]) this.audio[`on${event}`] = () => this.heard();
    this.audio.onerror = () => this.silent();
    this.say("", false, true);
    this.showImage(ready);
    if (this.audio.currentTime) this.audio.currentTime = 0; // to seek, even to where it is, takes time
    this.heard();
    this.play();
    ready.facts.then((facts) => {
      if (this.shown === ready && facts?.fault) this.say(`This sound cannot be played: ${facts.fault}. ${REMEDY}`, true);
    });
  }

  showImage(ready) {
    const { image } = ready;
    this.parts.image.replaceChildren(image);
    image.onerror = () => this.parts.image.replaceChildren();
    this.parts.marks.replaceChildren();
    ready.facts.then((facts) => {
      if (this.shown === ready && facts?.rate) this.parts.marks.replaceChildren(...frequencyMarks(facts.rate, image));
    });
  }

  async play() {
    this.stopExample();
    const { audio } = this;
    if (!audio) return;
    setSpeed(audio, this.slow);
    if (audio.ended) audio.currentTime = 0;
    try {
      await audio.play();
      if (audio === this.audio) this.say("");
    } catch (fault) {
      if (audio !== this.audio) return;
      if (fault.name === "NotAllowedError") this.say("Press Space, or Play, to hear it. After that, every clip plays at once.");
    }
  }

  toggle() {
    if (this.audio.paused || this.example) this.play();
    else this.audio.pause();
  }

  switchSpeed() {
    this.slow = !this.slow;
    this.rememberSlow(this.slow);
    this.showSpeed();
    for (const audio of [this.audio, this.example?.audio]) if (audio) setSpeed(audio, this.slow);
    this.heard();
  }

  showSpeed() {
    this.parts.half.setAttribute("aria-pressed", this.slow);
  }

  stop() {
    this.stopExample();
    this.audio.pause();
  }

  /** Plays an example, or stops it where it plays. */
  toggleExample(row, button) {
    const playing = this.example?.button === button;
    this.stopExample();
    if (playing) return;
    this.audio.pause();
    const audio = new Audio(soundPath(row));
    setSpeed(audio, this.slow);
    this.example = { audio, button };
    button.setAttribute("aria-pressed", "true");
    button.classList.remove("silent");
    const over = () => this.example?.audio === audio && this.stopExample();
    audio.onended = over;
    audio.play().catch((fault) => {
      if (fault.name !== "AbortError") button.classList.add("silent");
      over();
    });
  }

  stopExample() {
    if (!this.example) return;
    const { audio, button } = this.example;
    this.example = null;
    audio.pause();
    audio.removeAttribute("src");
    audio.load();
    button.setAttribute("aria-pressed", "false");
  }

  seconds() {
    const known = this.audio.duration;
    return Number.isFinite(known) && known > 0 ? known : (this.shown?.item.seconds ?? 0);
  }

  seek(seconds) {
    this.audio.currentTime = Math.min(Math.max(seconds, 0), this.seconds());
    this.heard();
  }

  /** The position, in every form. */
  heard() {
    const { slider, playText, position } = this.parts;
    const [now, all] = [this.audio.currentTime, this.seconds()];
    slider.setAttribute("aria-valuemax", all.toFixed(1));
    slider.setAttribute("aria-valuenow", Math.min(now, all).toFixed(1));
    slider.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${all.toFixed(1)} seconds`);
    position.textContent = `${now.toFixed(1)} / ${all.toFixed(1)} s${this.slow ? " · an octave lower" : ""}`;
    playText.textContent = this.audio.paused ? "Play" : "Pause";
    this.movePlayhead();
    if (!this.audio.paused && !calm.matches) requestAnimationFrame(this.frame);
  }

  frame() {
    if (this.moving) return; // a line of frames is under way
    this.moving = true;
    const step = () => {
      this.movePlayhead();
      if (this.audio.paused || calm.matches) this.moving = false;
      else requestAnimationFrame(step);
    };
    step();
  }

  movePlayhead() {
    const all = this.seconds();
    const share = all ? Math.min(this.audio.currentTime / all, 1) : 0;
    this.parts.playhead.style.transform = `translateX(${share * this.parts.slider.clientWidth}px)`;
  }

  silent() {
    if (this.audio.getAttribute("src") && !this.parts.hint.classList.contains("fault")) this.say(`This sound cannot be played. ${REMEDY}`, true);
  }

  say(hint, fault = false, fresh = false) {
    if (!hint && !fresh && this.parts.hint.classList.contains("fault")) return; // a fault stays until another clip is shown
    this.parts.hint.textContent = hint;
    this.parts.hint.hidden = !hint;
    this.parts.hint.classList.toggle("fault", fault);
  }

  sliderKey(event) {
    const page = Math.max(this.seconds() / 10, STEP);
    const moves = { ArrowRight: STEP, ArrowUp: STEP, ArrowLeft: -STEP, ArrowDown: -STEP, PageUp: page, PageDown: -page };
    if (event.key in moves) this.seek(this.audio.currentTime + moves[event.key]);
    else if (event.key === "Home") this.seek(0);
    else if (event.key === "End") this.seek(this.seconds());
    else if (event.key === "Escape") this.parts.slider.blur();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  drag(event) {
    if (event.button) return;
    event.preventDefault(); // the arrows go on deciding: a click does not move the focus here
    const { slider } = this.parts;
    const to = (moved) => {
      const box = slider.getBoundingClientRect();
      this.seek(((moved.clientX - box.left) / box.width) * this.seconds());
    };
    slider.setPointerCapture(event.pointerId);
    slider.onpointermove = to;
    slider.onpointerup = slider.onpointercancel = () => {
      slider.onpointermove = slider.onpointerup = slider.onpointercancel = null;
    };
    to(event);
    if (this.audio.paused) this.play();
  }
}

/** Half speed is an octave lower, as with a slowed tape: what is too high or too quick can be heard. */
function setSpeed(audio, slow) {
  audio.preservesPitch = !slow;
  audio.defaultPlaybackRate = audio.playbackRate = slow ? 0.5 : 1;
}

/** Where a frequency is in the picture, 0 below and 1 above; the picture's own address says how it was drawn (see audio/spectrogram.py). */
function heightOf(hz, rate, scale, top) {
  const high = Math.min(top || Infinity, rate / 2);
  const low = scale === "mel" ? 0 : Math.min(40, high / 4);
  const mel = (f) => (f < 1000 ? (f * 3) / 200 : 15 + (Math.log(f / 1000) * 27) / Math.log(6.4));
  const place = scale === "mel" ? mel : Math.log;
  return (place(hz) - place(low)) / (place(high) - place(low));
}

function frequencyMarks(rate, image) {
  const query = new URL(image.src).searchParams;
  const marks = [];
  let last = -1;
  for (const hz of [100, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000]) {
    const height = heightOf(hz, rate, query.get("scale"), Number(query.get("top")));
    if (height < 0.03 || height > 0.97 || height - last < 0.09) continue;
    last = height;
    const mark = document.createElement("span");
    mark.textContent = hz < 1000 ? String(hz) : `${hz / 1000}k`;
    mark.style.bottom = `${100 * height}%`;
    marks.push(mark);
  }
  return marks;
}

// The clips to hear next, with their sounds and pictures fetched while another clip is heard.

import { picturePath, soundPath } from "./server.js";

const ASKED = 4; // clips asked for at once
const SOUNDS = 2; // of them, whose sounds are fetched ahead: a browser has six connections, and decisions need some
const THUMBNAIL = [240, 96];

/** A clip that can be shown at once: its facts, its sound, its picture and those of its examples. */
export class Ready {
  constructor(item, server) {
    this.item = item;
    this.server = server;
    this.audio = null;
    this.facts = null; // a promise of what is known of the sound
    this.reached = true; // the server could be asked for it
    this.image = null;
    this.thumbnails = new Map();
  }

  /** Fetches the sound, where that is not done or has failed. */
  fetchSound() {
    if (this.audio && !this.audio.error && this.reached) return;
    this.release();
    this.audio = new Audio();
    this.audio.preload = "auto";
    this.audio.src = soundPath(this.item.row);
    this.facts = this.server.soundFacts(this.item.row);
    this.facts.then((facts) => (this.reached = facts !== null));
  }

  fetchImage(picture, size) {
    const path = picturePath(this.item.row, picture, ...size);
    if (!shows(this.image, path)) this.image = loadedImage(path);
  }

  fetchThumbnails(picture) {
    for (const { row } of Object.values(this.item.examples).flat()) {
      const path = picturePath(row, picture, ...THUMBNAIL);
      if (!shows(this.thumbnails.get(row), path)) this.thumbnails.set(row, loadedImage(path));
    }
  }

  /** Ends the download of a sound that is not needed any more. */
  release() {
    if (!this.audio) return;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    this.audio.remove();
    this.audio = null;
  }
}

export class Queue {
  /**
   * @param server   of the review.
   * @param look     a function that gives the settings of the pictures and their size in pixels: [picture, [width, height]].
   * @param wanted   a function that gives the query of the filters in force.
   */
  constructor(server, look, wanted) {
    this.server = server;
    this.look = look;
    this.wanted = wanted;
    this.ahead = [];
    this.skipped = [];
    this.turn = 0; // of the newest question: older answers are not listened to
  }

  /** Asks for the clips after the one that is shown, and begins to fetch them. */
  async refill(shown) {
    const turn = ++this.turn;
    const query = this.wanted();
    const skip = [...this.skipped, ...(shown ? [shown.item.rank] : [])].slice(-2000);
    query.set("count", ASKED);
    if (skip.length) query.set("skip", skip.join(","));
    const { items } = await this.server.get("/api/queue", query);
    if (turn !== this.turn) return;
    const known = new Map(this.ahead.map((ready) => [ready.item.rank, ready]));
    this.ahead = items.map((item) => {
      const ready = known.get(item.rank) ?? new Ready(item, this.server);
      ready.item = item;
      known.delete(item.rank);
      return ready;
    });
    known.forEach((ready) => ready.release());
    this.fetchAhead();
  }

  fetchAhead() {
    const [picture, size] = this.look();
    this.ahead.slice(0, SOUNDS).forEach((ready, place) => {
      ready.fetchImage(picture, size);
      ready.fetchSound();
      if (place === 0) ready.fetchThumbnails(picture);
    });
  }

  /** The next clip, ready to show; undefined where there is none. What was asked for before does not count any more. */
  take() {
    this.turn++;
    return this.ahead.shift();
  }

  /** A clip that was shown comes next again. */
  putBack(ready) {
    this.turn++;
    this.ahead.unshift(ready);
  }

  clear() {
    this.turn++;
    this.ahead.forEach((ready) => ready.release());
    this.ahead = [];
  }
}

/** Whether an image has the picture at a path, or is on the way to it. */
function shows(image, path) {
  return image?.getAttribute("src") === path && !(image.complete && !image.naturalWidth);
}

function loadedImage(path) {
  const image = new Image();
  image.alt = "";
  image.draggable = false;
  image.src = path;
  image.decode().catch(() => {}); // decoded ahead, so that showing it takes no time; a fault shows where the image is shown
  return image;
}

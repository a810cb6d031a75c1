// The review page: a person hears clips and decides what they are, mostly by keyboard.

import { canAccept, canKeep, drawExamples, drawRows, NOTHING, rowsOf, same } from "./choices.js";
import { bindKeys } from "./keys.js";
import { insist, isBusy, working } from "./patience.js";
import { $, drawNotes, drawState, drawWhy, Filters, remembered } from "./panel.js";
import { Player } from "./player.js";
import { Queue, Ready } from "./queue.js";
import { freshKey, Refused, Server, ServerGone } from "./server.js";
import { Search } from "./search.js";

const KEPT = 20; // clips that undo shows without asking for them
const DONE = { keep: "Kept", accept: "Accepted", relabel: "Changed to", none: "None of these", unusable: "Unusable" };

const server = new Server();
const filters = new Filters(() => begin());
const picture = { scale: "mel", range: "80", top: "0", ...remembered.read("picture", {}) };
const queue = new Queue(server, () => [picture, imageSize()], () => filters.query());
const player = new Player(
  { sound: $("sound"), slider: $("slider"), image: $("image"), playhead: $("playhead"), marks: $("marks"), hint: $("hint"), play: $("play"), playText: $("play-text"), half: $("half"), position: $("position") },
  [() => remembered.read("half", false), (slow) => remembered.write("half", slow)],
);

let state = null; // what the server says of the whole list
let shown = null; // the clip that is heard
let rows = []; // its labels as they are listed
let on = new Set(); // those that are switched on, where clips may have several
let done = []; // what was done in this sitting, newest last: {rank, ready, skipped}; only the newest are still ready to show

/** Says something to who cannot see, and shows the first part of it, which is what was done. */
function say(text, further = "") {
  $("last").textContent = text;
  $("said").textContent = `${text} ${further}`;
}

function note(entry) {
  done.push(entry);
  const old = done.at(-KEPT);
  if (old) old.ready = null;
}

/** Shows the clips of the filters in force, from the first; after what is under way. */
function begin() {
  if (isBusy()) return void setTimeout(begin, 100);
  return working(async () => {
    queue.clear();
    queue.skipped = [];
    setState(await insist(() => server.get("/api/state", filters.query())));
    await showNext();
  });
}

function setState(fresh) {
  state = fresh;
  search.labels = state.labels;
  drawState(state, filters, reopen);
}

function imageSize() {
  const pixels = Math.min(devicePixelRatio || 1, 2);
  const width = $("slider").clientWidth || Math.min(innerWidth, 760);
  return [Math.min(Math.ceil((width * pixels) / 80) * 80, 1920), Math.round(240 * pixels)];
}

async function showNext(before = "") {
  let next = queue.take();
  if (!next) {
    await insist(() => queue.refill(null));
    next = queue.take();
  }
  if (next) show(next, before);
  else finish(before);
}

function show(ready, before = "") {
  const old = shown;
  shown = ready;
  $("finished").hidden = true;
  $("clip").hidden = false;
  ready.fetchSound();
  ready.fetchImage(picture, imageSize());
  ready.fetchThumbnails(picture);
  player.show(ready);
  if (old && old !== ready && !queue.ahead.includes(old)) old.release();
  drawClip();
  const { item } = ready;
  say(before, `Next: ${item.clip_id}, ${canKeep(item) ? `given ${named(item.given)}` : "without a label"}${canAccept(item) ? `, suggested ${named(item.suggested)}` : ""}.`);
  queue.refill(ready).catch((fault) => {
    if (!(fault instanceof ServerGone || fault instanceof Refused)) throw fault; // else it is said when the next clip is wanted
  });
}

function drawClip() {
  const { item } = shown;
  const decided = document.activeElement?.closest("#choices, #examples");
  $("clip").dataset.rank = item.rank;
  $("clip-id").textContent = item.clip_id;
  drawWhy($("clip-why"), item);
  drawNotes($("clip-notes"), shown, () => shown);
  rows = rowsOf(item, state.several);
  on = new Set(item.given);
  drawChoices();
  drawExamples($("examples"), shown, (row, button) => player.toggleExample(row, button));
  $("keep").disabled = !canKeep(item);
  $("accept").disabled = !canAccept(item);
  $("save").hidden = !state.several;
  if (decided) $("question").focus(); // the button that had the focus is gone
}

function drawChoices() {
  const several = state.several;
  drawRows($("choices"), shown.item, rows, several, on, pick);
}

function finish(before = "") {
  const old = shown;
  shown = null;
  player.stop();
  old?.release();
  $("clip").hidden = true;
  $("finished").hidden = false;
  const skipped = queue.skipped.length;
  const all = `${state.heard.toLocaleString("en")} heard: ${state.kept.toLocaleString("en")} kept, ${state.changed.toLocaleString("en")} changed.`;
  $("finished-title").textContent = skipped ? "Only skipped clips are left" : filters.narrowed() ? "No clip is left with these filters" : "Every clip of the list is heard";
  $("finished-text").textContent = all;
  $("finished-next").textContent = state.heard
    ? "Your decisions lie in corrections.csv in the audit's folder. Next: earmark apply-corrections MANIFEST corrections.csv --out NEW, and train again."
    : "";
  $("again-skipped").hidden = !skipped;
  $("again-skipped").textContent = skipped === 1 ? "Hear the skipped clip" : `Hear the ${skipped} skipped clips`;
  $("clear-filters").hidden = !filters.narrowed();
  say(before, `${$("finished-title").textContent}.`);
  $("finished-title").focus();
}

function named(labels) {
  return labels.length ? labels.join(" and ") : NOTHING;
}

function decide(action, labels = []) {
  return working(async () => {
    if (!shown) return;
    const { item } = shown;
    const decision = { rank: item.rank, clip_id: item.clip_id, action, key: freshKey(), ...(action === "relabel" && { labels }) };
    const answer = await insist(() => server.post("/api/decisions", filters.query(), decision), true);
    note({ rank: item.rank, ready: shown });
    setState(answer.state);
    const meant = { keep: item.given, accept: item.suggested, relabel: labels }[action];
    await showNext(`${DONE[action]}${meant ? ` ${named(meant)}` : ""}.`);
  });
}

function keep() {
  if (!shown) return;
  if (canKeep(shown.item)) decide("keep");
  else say("This clip has no label to keep.");
}

function accept() {
  if (!shown) return;
  if (canAccept(shown.item)) decide("accept");
  else say("Nothing else is suggested for this clip.");
}

/** Decides for labels in the plainest word for it. */
function decideFor(labels) {
  const { item } = shown;
  if (!labels.length) decide("none");
  else if (canKeep(item) && same(labels, item.given)) decide("keep");
  else if (same(labels, item.suggested)) decide("accept");
  else decide("relabel", labels);
}

function pick(row) {
  if (!shown || isBusy()) return;
  if (!state.several || row.label === null) return decideFor(row.label === null ? [] : [row.label]);
  if (!on.delete(row.label)) on.add(row.label);
  const place = rows.indexOf(row);
  const focused = $("choices").contains(document.activeElement);
  drawChoices();
  if (focused) $("choices").children[place].focus();
  say("", `${row.label} ${on.has(row.label) ? "on" : "off"}: ${named([...on])}.`);
}

function pickNumber(number) {
  const row = rows.find((other) => other.number === number);
  if (row) pick(row);
}

function pickAny(label) {
  if (!shown) return;
  let row = rows.find((other) => other.label === label);
  if (!row) {
    row = { label, score: shown.item.scores[label] ?? null, given: false, suggested: false, number: null };
    if (state.several) rows.push(row);
  }
  if (!state.several || !on.has(label)) pick(row);
}

function skip() {
  return working(async () => {
    if (!shown) return;
    queue.skipped.push(shown.item.rank);
    note({ rank: shown.item.rank, ready: shown, skipped: true });
    await showNext("Skipped.");
  });
}

function undo() {
  return working(async () => {
    const last = done.at(-1);
    let item = null;
    if (last?.skipped) {
      if (!last.ready) ({ item } = await insist(() => server.get(`/api/item/${last.rank}`)));
    } else {
      const answer = await insist(() => undoneOnce(last));
      setState(answer.state);
      item = answer.item;
      if (!item) return say("There is nothing to undo.");
    }
    done.pop();
    const back = last?.ready && (!item || last.rank === item.rank) ? last.ready : new Ready(item, server);
    if (shown && shown.item.rank !== back.item.rank) queue.putBack(shown);
    queue.skipped = queue.skipped.filter((rank) => rank !== back.item.rank);
    show(back, "Undone.");
  });
}

/** Undoes the last decision; where an answer was lost, looks first whether it was undone already. */
async function undoneOnce(last) {
  if (last?.asked) {
    const { item } = await server.get(`/api/item/${last.rank}`);
    if (!item.heard.some(({ by }) => by === server.reviewer)) return { item, state: await server.get("/api/state", filters.query()) };
  }
  if (last) last.asked = true;
  return server.post("/api/undo", filters.query(), {});
}

/** Shows a clip again, such as one on which reviewers disagree. */
function reopen(rank) {
  return working(async () => {
    const { item } = await insist(() => server.get(`/api/item/${rank}`));
    if (shown && shown.item.rank !== rank) queue.putBack(shown);
    show(new Ready(item, server), "Opened again.");
    scrollTo({ top: 0 });
  });
}

function hearSkipped() {
  queue.skipped = [];
  done = done.filter(({ skipped }) => !skipped);
  return working(() => showNext());
}

function askName() {
  $("name-input").value = server.reviewer || state?.reviewer || "";
  $("name").showModal();
  $("name-input").select();
}

function takeName(name) {
  server.reviewer = name;
  remembered.write("reviewer", name);
  $("who").textContent = name;
  $("who").setAttribute("aria-label", `You are ${name}. Change the name`);
}

const search = new Search($("search"), $("matches"), pickAny);

for (const [id, act] of Object.entries({ keep, accept, skip, undo, "finished-undo": undo, "again-skipped": hearSkipped, "clear-filters": () => filters.clear() })) $(id).addEventListener("click", act);
$("none").addEventListener("click", () => decide("none"));
$("unusable").addEventListener("click", () => decide("unusable"));
$("save").addEventListener("click", () => shown && decideFor([...on]));
$("who").addEventListener("click", askName);
$("open-keys").addEventListener("click", () => $("keys").showModal());
$("name").addEventListener("close", () => {
  const name = $("name-input").value.trim() || state.reviewer;
  const fresh = name !== server.reviewer;
  takeName(name);
  if (fresh) done = [];
  if (fresh || !shown) begin();
  else player.play();
});

for (const setting of ["scale", "top", "range"]) {
  $(setting).value = picture[setting];
  $(setting).addEventListener("change", () => {
    picture[setting] = $(setting).value;
    remembered.write("picture", picture);
    if (!shown) return;
    shown.fetchImage(picture, imageSize());
    player.showImage(shown);
    queue.fetchAhead();
  });
}

bindKeys({
  ArrowUp: keep,
  ArrowDown: accept,
  ArrowRight: skip,
  ArrowLeft: undo,
  " ": () => shown && player.toggle(),
  s: () => player.switchSpeed(),
  n: () => shown && decide("none"),
  x: () => shown && decide("unusable"),
  "/": () => shown && $("search").focus(),
  "?": () => $("keys").showModal(),
  Enter: () => shown && state.several && decideFor([...on]),
  digit: pickNumber,
  letter: (letter) => $("examples").querySelector(`[data-key="${letter}"]`)?.click(),
});
addEventListener("resize", () => shown && player.heard());
addEventListener("beforeunload", (event) => isBusy() && event.preventDefault());

/** The state at the beginning. Filters in the page's address that this list does not know are dropped; where every label was verified, these are heard. */
async function firstState() {
  try {
    const first = await server.get("/api/state", filters.query());
    if (first.unverified || filters.query().size) return first;
    filters.drop({ verified: "1" });
  } catch (fault) {
    if (!(fault instanceof Refused) || !filters.query().size) throw fault;
    filters.drop();
  }
  return server.get("/api/state", filters.query());
}

const name = remembered.read("reviewer", "");
server.reviewer = name;
await working(async () => {
  setState(await insist(firstState));
  $("title").textContent = state.title;
  document.title = `${state.title} · review · earmark`;
  $("keys-digits").textContent = state.several ? "switch the label with this number on or off" : "give it the label with this number";
  $("keys-enter").hidden = !state.several;
  if (name) takeName(name);
});
if (name) begin();
else askName();

// What stands around a clip: progress, filters, notes, disagreements; and what the browser remembers.

import { element, NOTHING } from "./choices.js";

export const $ = (id) => document.getElementById(id);

/** Settings of this browser; without storage they last as long as the page. */
export const remembered = {
  read(name, otherwise) {
    try {
      return JSON.parse(localStorage.getItem(`earmark.${name}`)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  write(name, value) {
    try {
      localStorage.setItem(`earmark.${name}`, JSON.stringify(value));
    } catch {
      // a browser without storage: the setting lasts as long as the page
    }
  },
};

/** Which clips are heard; kept in the page's address, so that it can be loaded again. */
export class Filters {
  /** @param changed called after the person has changed them. */
  constructor(changed) {
    this.parts = { class: $("filter-class"), reason: $("filter-reason"), verified: $("filter-verified") };
    this.values = new URLSearchParams(location.hash.slice(1));
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("filters").addEventListener("change", () => {
      for (const [name, part] of Object.entries(this.parts)) this.values.set(name, part.value);
      this.values.set("again", $("filter-again").checked ? "1" : "");
      this.keep();
      changed();
    });
    this.changed = changed;
  }

  query() {
    const query = new URLSearchParams();
    for (const name of ["class", "reason", "verified", "again"]) if (this.values.get(name)) query.set(name, this.values.get(name));
    return query;
  }

  narrowed() {
    return ["class", "reason"].some((name) => this.values.get(name)) || this.values.get("verified") === "1";
  }

  drop(instead = {}) {
    this.values = new URLSearchParams(instead);
    this.keep();
  }

  clear() {
    this.drop();
    this.changed();
  }

  keep() {
    const query = this.query();
    if (query.get("verified") === "0") query.delete("verified");
    history.replaceState(null, "", query.size ? `#${query}` : location.pathname);
  }

  draw(state) {
    options(this.parts.class, "all classes", state.classes.filter(({ label, left, heard }) => left || heard || label === this.values.get("class")).map(({ label, left }) => [label, `${label} (${number(left)})`]), this.values.get("class"));
    options(this.parts.reason, "all reasons", state.reasons.map(({ reason, left }) => [reason, `${reason} (${number(left)})`]), this.values.get("reason"));
    this.parts.verified.value = this.values.get("verified") || "0";
    $("filter-again").checked = this.values.get("again") === "1";
  }
}

/** Fills a menu; what is in it already stays, so that an open menu is not disturbed. */
function options(menu, all, entries, chosen) {
  const wanted = [["", all], ...entries];
  wanted.forEach(([value, text], place) => {
    const option = menu.options[place] ?? menu.appendChild(new Option());
    if (option.value !== value || !option.hasAttribute("value")) option.value = value;
    if (option.textContent !== text) option.textContent = text;
  });
  while (menu.options.length > wanted.length) menu.remove(wanted.length);
  menu.value = wanted.some(([value]) => value === chosen) ? chosen : "";
}

const number = (count) => count.toLocaleString("en");

let waiting = null; // the newest state whose slow parts are not drawn yet

/** Draws the progress at once, and menus and lists when the browser has time: the next clip comes first. */
export function drawState(state, filters, reopen) {
  const { heard, left, kept, changed } = state;
  $("counts").textContent = `${number(heard)} heard · ${number(left)} left · ${number(kept)} kept · ${number(changed)} changed`;
  $("progress").max = Math.max(heard + left, 1);
  $("progress").value = heard;
  $("forecast").textContent = forecast(state);
  const later = window.requestIdleCallback ?? setTimeout;
  if (!waiting) later(() => {
    const fresh = waiting;
    waiting = null;
    filters.draw(fresh);
    drawAbout(fresh);
    drawDisagreements(fresh, reopen);
  });
  waiting = state;
}

/** What the next clips are worth, in a sentence. */
export function forecast({ next50, left }) {
  if (next50 === null || !left) return "";
  const next = Math.min(50, left);
  const wrong = Math.round(next * next50);
  if (next === 1) return `The last label is wrong with a chance of ${Math.round(100 * next50)} %.`;
  const few = wrong === 0 ? "hardly any is wrong" : wrong === 1 ? "about 1 is wrong" : `about ${wrong} are wrong`;
  return next50 < 0.1 ? `You may well stop here: of the next ${next}, ${few}.` : `Of the next ${next}, ${few}.`;
}

function drawAbout({ strategy, reviewers, notes, suspects, cut }) {
  $("strategy").textContent = strategy ?? "";
  const by = reviewers.map(({ by, heard }) => `${by} ${number(heard)}`).join(", ");
  const proposed = cut ? `The audit proposes to hear the first ${number(cut)} of ${number(suspects)}.` : "";
  $("reviewers").textContent = `${proposed}${by ? ` Heard by ${by}.` : ""}`;
  $("notes").replaceChildren(...notes.map((note) => element("li", "", note)));
}

function drawDisagreements({ disagreements, disagreeing }, reopen) {
  const holder = $("disagreements");
  holder.hidden = !disagreements.length;
  holder.querySelector("summary").textContent = disagreeing === 1 ? "Reviewers disagree on 1 clip" : `Reviewers disagree on ${number(disagreeing)} clips`;
  holder.querySelector("ul").replaceChildren(
    ...disagreements.map(({ rank, clip_id, decisions }) => {
      const line = element("li");
      const button = element("button", "quiet", clip_id);
      button.type = "button";
      button.addEventListener("click", () => reopen(rank));
      line.append(button, " ", decisions.map(decided).join("; "));
      return line;
    }),
  );
}

function decided({ by, action, labels }) {
  if (action === "unusable") return `${by}: unusable`;
  return `${by}: ${labels?.length ? labels.join(", ") : NOTHING}`;
}

/** Why the clip is in the list. */
export function drawWhy(holder, { probability, reason, verified }) {
  const parts = [];
  if (probability !== null) {
    const percent = Math.round(100 * probability);
    parts.push(element("b", "", percent > 99 ? "over 99 %" : percent < 1 ? "under 1 %" : `${percent} %`), " likely to be wrong ");
  }
  for (const part of reason ? reason.split("; ") : []) parts.push(element("span", "reason", part), " ");
  if (verified) parts.push(element("span", "reason", "verified"));
  holder.replaceChildren(...parts);
}

/** What else there is to know of a clip: who heard it, and where its sound comes from. */
export function drawNotes(holder, ready, current) {
  const { item } = ready;
  const heard = item.heard.length ? `Heard by ${item.heard.map(decided).join("; ")}. ` : "";
  holder.textContent = heard;
  ready.facts.then((facts) => {
    if (current() !== ready || !facts) return;
    if (facts.from === "moved") holder.textContent = `${heard}The file was moved, and is found again by its content.`;
    if (facts.from === "store") holder.textContent = `${heard}You hear the store's copy, since ${facts.why || "the file cannot be played"}.`;
  });
}

// The search box for any label: type, choose with the arrows, Enter.

import { element } from "./choices.js";

const SHOWN = 8;

export class Search {
  /** @param pick called with the label that was chosen. */
  constructor(input, list, pick) {
    this.input = input;
    this.list = list;
    this.pick = pick;
    this.labels = [];
    this.matches = [];
    this.active = 0;
    input.addEventListener("input", () => this.open());
    input.addEventListener("focus", () => this.open());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // keeps the focus in the box
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.choose(Number(option.dataset.place));
    });
  }

  open() {
    const asked = plain(this.input.value);
    this.matches = asked ? bestMatches(this.labels, asked) : [];
    this.active = 0;
    this.draw(Boolean(asked));
  }

  close() {
    this.input.value = "";
    this.matches = [];
    this.draw(false);
  }

  draw(open) {
    const options = this.matches.map((label, place) => {
      const option = element("li", "", label);
      option.id = `match-${place}`;
      option.dataset.place = place;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", place === this.active);
      return option;
    });
    if (open && !options.length) {
      const none = element("li", "soft", "No label is called so.");
      none.setAttribute("role", "option");
      none.setAttribute("aria-disabled", "true");
      none.setAttribute("aria-selected", "false");
      delete none.dataset.place;
      options.push(none);
    }
    this.list.replaceChildren(...options);
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", open);
    if (this.matches.length) this.input.setAttribute("aria-activedescendant", `match-${this.active}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const count = this.matches.length;
    if (event.key === "ArrowDown" && count) this.active = (this.active + 1) % count;
    else if (event.key === "ArrowUp" && count) this.active = (this.active + count - 1) % count;
    else if (event.key === "Enter") {
      event.preventDefault();
      if (count) this.choose(this.active);
      return;
    } else if (event.key === "Escape") return this.input.blur();
    else return;
    event.preventDefault();
    this.draw(true);
  }

  choose(place) {
    const label = this.matches[place];
    if (label === undefined) return;
    this.input.blur();
    this.pick(label);
  }
}

/** Labels that match, the best first: those that begin with the text, those with a word that does, those that hold it. */
export function bestMatches(labels, asked) {
  const ranked = [[], [], []];
  for (const label of labels) {
    const text = plain(label);
    const place = text.indexOf(asked);
    if (place < 0) continue;
    ranked[place === 0 ? 0 : text[place - 1] === " " ? 1 : 2].push(label);
  }
  return ranked.flat().slice(0, SHOWN);
}

function plain(text) {
  return text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "").replace(/[_\s-]+/g, " ").trim();
}

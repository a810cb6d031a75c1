// The keyboard: keys that decide, wherever the focus does not need them itself.

import { $, remembered } from "./panel.js";

/**
 * @param acts what each key does, by its name; `digit` is called with 1–9, `letter` with any other letter.
 */
export function bindKeys(acts) {
  let pointed = false; // the last thing done was done by mouse or finger
  $("keys-on").checked = remembered.read("keys", true);
  $("keys-on").addEventListener("change", () => remembered.write("keys", $("keys-on").checked));
  addEventListener("pointerdown", () => (pointed = true), true);
  addEventListener("keydown", () => (pointed = false), true);
  // What was clicked does not keep the focus: Space and the arrows go on playing and deciding.
  addEventListener("click", () => pointed && release("button, summary, input[type=checkbox]"));
  addEventListener("change", () => pointed && release("select, input[type=checkbox]"));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") || !$("keys-on").checked) return;
    const { target } = event;
    if (target.closest("input:not([type=checkbox]), select, textarea")) return;
    if ([" ", "Enter"].includes(event.key) && target.closest("button, summary, input, a")) return;
    const [act, given] = meaning(acts, event);
    if (!act) return;
    event.preventDefault();
    if (!event.repeat) act(given); // a key that is held down decides once
  });
}

function meaning(acts, event) {
  if (acts[event.key]) return [acts[event.key]];
  if (/^[1-9]$/.test(event.key)) return [acts.digit, Number(event.key)];
  // Digits that need Shift on some keyboards, and letters on keyboards of other scripts, are known by their place.
  if (/^Digit[1-9]$/.test(event.code) && !event.shiftKey) return [acts.digit, Number(event.code[5])];
  const letter = /^[a-z]$/i.test(event.key) ? event.key.toLowerCase() : /^Key[A-Z]$/.test(event.code) ? event.code[3].toLowerCase() : "";
  if (!letter) return [];
  return acts[letter] ? [acts[letter]] : [acts.letter, letter];
}

function release(kinds) {
  const { activeElement } = document;
  if (activeElement?.matches(kinds) && !activeElement.closest("dialog")) activeElement.blur();
}

// Waits for the server: what needs it is done once at a time, and goes on when a server that is gone is back.

import { $ } from "./panel.js";
import { Refused, ServerGone } from "./server.js";

const RETRY = 1500; // milliseconds between two tries to reach a server that is gone

let busy = false;

/** Whether something is under way, such as a decision that is not saved yet. */
export const isBusy = () => busy;

/** Does something that needs the server, unless something else is under way. What the server refuses is said in the banner. */
export async function working(act) {
  if (busy) return;
  busy = true;
  try {
    await act();
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    if (fault.stale) tell(fault.message, "Load the page again", () => location.reload());
    else tell(fault.message, "Close", () => tell(""));
  } finally {
    busy = false;
  }
}

/**
 * Asks the server until it answers. While it is gone, the banner says so.
 *
 * @param ask     a function that asks, and gives the promise of an answer.
 * @param unsaved whether a decision waits to be saved.
 */
export async function insist(ask, unsaved = false) {
  for (;;) {
    try {
      const answer = await ask();
      tell("");
      return answer;
    } catch (fault) {
      if (!(fault instanceof ServerGone)) throw fault;
      const lost = unsaved ? "Your last decision is kept here and is saved as soon as it is back" : "Nothing is lost; the page goes on as soon as it is back";
      await new Promise((again) => {
        tell(`The review server does not answer. ${lost}: leave this page open, and start earmark review again.`, "Try now", again);
        setTimeout(again, RETRY);
      });
    }
  }
}

function tell(text, button = "", act = null) {
  if ($("banner-text").textContent !== text) $("banner-text").textContent = text;
  $("banner-button").textContent = button;
  $("banner-button").onclick = act;
  $("banner").hidden = !text;
}

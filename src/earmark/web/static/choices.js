// What a clip may be: its labels as a numbered list, and verified examples of them.

export const EXAMPLE_KEYS = ["qwe", "rty", "uio"]; // for the examples of the first, second and third label
const NUMBERS = 9;
export const NOTHING = "none of these";

/** @returns whether two lists hold the same labels, in any order. */
export function same(some, others) {
  return some.length === others.length && some.every((label) => others.includes(label));
}

/** @returns whether there is a given label that can be kept: a clip without a label has none. */
export function canKeep(item) {
  return item.given.length > 0 || Boolean(item.verified);
}

/** @returns whether the suggestion is another than what is given. */
export function canAccept(item) {
  return !(canKeep(item) && same(item.given, item.suggested));
}

/**
 * The rows of the list: the given labels, the suggested ones, and those that the nets believe most.
 *
 * @returns rows {label, score, given, suggested, number}; the label is null for "none of these", the number for what has none.
 */
export function rowsOf(item, several) {
  const best = Object.keys(item.scores).sort((a, b) => item.scores[b] - item.scores[a]);
  const labels = [...new Set([...item.given, ...item.suggested, ...best])];
  const rows = labels.map((label) => ({
    label,
    score: item.scores[label] ?? null,
    given: item.given.includes(label),
    suggested: item.suggested.includes(label),
    number: null,
  }));
  let number = 0;
  for (const row of rows) if ((several || !row.given) && number < NUMBERS) row.number = ++number;
  const shown = rows.filter((row) => row.number || row.given);
  const nothing = { label: null, score: null, number: null };
  if (!item.given.length && canKeep(item)) shown.unshift({ ...nothing, given: true, suggested: !item.suggested.length });
  else if (!item.suggested.length && canAccept(item)) shown.splice(item.given.length, 0, { ...nothing, given: false, suggested: true });
  return shown;
}

/**
 * Draws the rows as buttons.
 *
 * @param several  whether clips may have several labels: the buttons are switches then.
 * @param on       labels that are switched on.
 * @param pick     called with the row that is pressed.
 */
export function drawRows(list, item, rows, several, on, pick) {
  const accept = canAccept(item);
  const buttons = rows.map((row) => {
    const button = element("button", "choice");
    button.type = "button";
    if (several && row.label !== null) button.setAttribute("aria-pressed", on.has(row.label));
    button.classList.toggle("is-given", row.given);
    button.classList.toggle("is-suggested", row.suggested && accept);
    const keys = element("span", "keys");
    if (row.number) keys.append(element("kbd", "", row.number));
    if (!several && row.given) keys.append(element("kbd", "", "↑"));
    else if (!several && row.suggested && accept) keys.append(element("kbd", "", "↓"));
    keys.setAttribute("aria-hidden", "true");
    const words = [row.given && "given", row.suggested && accept && "suggested"].filter(Boolean);
    const name = element("span", "name", row.label ?? NOTHING);
    if (words.length) name.append(" ", element("span", "tag", words.join(", ")));
    button.append(keys, name);
    if (row.score !== null) {
      const bar = element("i", "bar");
      bar.style.width = `${Math.round(100 * Math.min(Math.max(row.score, 0), 1))}%`;
      button.append(element("span", "score", row.score.toFixed(2)), bar);
    }
    button.addEventListener("click", () => pick(row));
    return button;
  });
  list.replaceChildren(...buttons);
}

/** The labels whose examples are shown, each with its key letters. */
export function exampleGroups(item) {
  const labels = [...new Set([...item.given, ...item.suggested])].filter((label) => item.examples[label]?.length);
  return labels.map((label, place) => ({
    label,
    word: item.given.includes(label) ? "given" : "suggested",
    clips: item.examples[label].map((clip, number) => ({ ...clip, key: EXAMPLE_KEYS[place]?.[number] ?? "" })),
  }));
}

/** Draws the examples: for each label a row of pictures that play. */
export function drawExamples(holder, ready, play) {
  const groups = exampleGroups(ready.item).map(({ label, word, clips }) => {
    const group = element("div", "examples");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", `Examples of ${label}`);
    const title = element("p", "examples-title");
    title.append(element("b", "", label), " ", element("span", "soft small", word));
    const row = element("div", "examples-row");
    row.append(
      ...clips.map((clip, number) => {
        const button = element("button", "example");
        button.type = "button";
        button.title = clip.clip_id;
        button.dataset.key = clip.key;
        button.setAttribute("aria-pressed", "false");
        button.setAttribute("aria-label", `Play example ${number + 1} of ${label}`);
        const picture = ready.thumbnails.get(clip.row);
        if (picture && !(picture.complete && !picture.naturalWidth)) button.append(picture);
        if (picture) picture.onerror = () => picture.remove();
        if (clip.key) button.append(element("kbd", "", clip.key.toUpperCase()));
        button.addEventListener("click", () => play(clip.row, button));
        return button;
      }),
    );
    group.append(title, row);
    return group;
  });
  if (!groups.length) groups.push(element("p", "soft", "There are no verified examples to compare with."));
  holder.replaceChildren(...groups);
}

/** @returns an element with a class and a text; a text from outside is never read as markup. */
export function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

// Talks to the review server. Every request goes to where this page came from.

const PATIENCE = 20000; // milliseconds for an answer, before the server counts as gone

/** The server does not answer: it was stopped, or cannot be reached. */
export class ServerGone extends Error {}

/** The server has answered that something is wrong; the message is its own. `stale`: the page is about another list than the server. */
export class Refused extends Error {
  constructor(message, stale = false) {
    super(message);
    this.stale = stale;
  }
}

export class Server {
  constructor() {
    this.reviewer = "";
  }

  get(path, query) {
    return this.ask("GET", path, query);
  }

  post(path, query, body) {
    return this.ask("POST", path, query, body);
  }

  async ask(method, path, query, body) {
    const headers = { "X-Earmark": "review" };
    if (this.reviewer) headers["X-Reviewer"] = encodeURIComponent(this.reviewer);
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const asked = { method, headers, body: body && JSON.stringify(body), cache: "no-store", signal: AbortSignal.timeout(PATIENCE) };
    let answer, text;
    try {
      answer = await fetch(path + (query?.size ? "?" + query : ""), asked);
      text = await answer.text();
    } catch {
      throw new ServerGone();
    }
    let said = {};
    try {
      said = JSON.parse(text);
    } catch {
      // not from the review server's own code: judged by its status alone
    }
    if (answer.status >= 500) throw new Refused(said.error ?? "The server has failed; its window says why.");
    if (!answer.ok) throw new Refused(said.error ?? `The server refuses this (${answer.status}).`, answer.status === 409);
    return said;
  }

  /** What is known of a sound before it plays: {from: "file" | "moved" | "store", why, rate}, or {fault: a sentence}; null where the server is gone. */
  async soundFacts(row) {
    try {
      return await this.get(`/api/sound/${row}.json`);
    } catch (fault) {
      return fault instanceof Refused ? { fault: fault.message } : null;
    }
  }
}

export function soundPath(row) {
  return `/api/sound/${row}.wav`;
}

export function picturePath(row, picture, width, height) {
  const query = new URLSearchParams({ scale: picture.scale, range: picture.range, top: picture.top, width, height });
  return `/api/spectrogram/${row}.png?${query}`;
}

/** A text that no other request has: the server knows by it that it has seen a request before. */
export function freshKey() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("-");
}

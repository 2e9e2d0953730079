// One line for each question: Dify's text above it, the card's calls below, so that the pacing is seen.

import { at, face, h } from "./dom.js";
import { person } from "./place.js";
import { all, now, onChange, one } from "./store.js";
import { onLanguage, t } from "./words.js";

const SHOWN = 30; // lines; our choice: a crowd of twenty, and what was before
const SHORTEST = 8; // seconds that the axis has at least
const HEIGHT = 40;
const LOST = 180; // seconds after which nobody answers a call, or takes a message, any more: as long as messages wait
const QUIET = 20; // seconds without anything on the wire; our choice: longer than the bot waits before it tries again
const FINAL = ["done", "failed"];

const lines = new Map();
const box = at("timeline");
const scale = h("div", { class: "axis", "aria-hidden": "true" });
let colours = {};

/** What is known of a message: its cards, calls, replies and chunks. */
function gather() {
  const found = new Map();
  for (const message of all("message").values()) {
    if (!message.unaddressed && !message.aside) found.set(message.id, { message, calls: [], ticks: [], cards: [], replies: [] });
  }
  for (const kind of ["call", "tick", "card", "reply"]) {
    const list = { call: "calls", tick: "ticks", card: "cards", reply: "replies" }[kind];
    for (const thing of all(kind).values()) found.get(thing.message)?.[list].push(thing);
  }
  return [...found.values()].sort((one, other) => other.message.at - one.message.at).slice(0, SHOWN);
}

/** The time of the last thing, if nothing is under way: then what has no end yet gets none, and its time stands still. */
function stillSince(moment) {
  let last = 0;
  for (const call of all("call").values()) {
    // Nobody has answered the call, or taken the message yet.
    const open = call.good === null || (call.way === "in" && call.good === false);
    if (open && moment - call.at < LOST) return null;
    last = Math.max(last, call.at + (call.took ?? 0));
  }
  for (const kind of ["message", "reply"]) for (const thing of all(kind).values()) last = Math.max(last, thing.at);
  return moment - last > QUIET ? last : null;
}

/** How a message ended, and when; `end` is null while it has not. `still`: as `stillSince` says. */
function endOf({ cards, replies, calls }, still) {
  const cost = calls.filter((call) => call.way === "out").length;
  const over = cards.length > 0 && cards.every((card) => FINAL.includes(card.state));
  if (replies.length) return { outcome: "plain", end: Math.max(...replies.map((reply) => reply.at)), cost };
  if (over) return { outcome: cards.some((card) => card.state === "failed") ? "failed" : "done", end: Math.max(...cards.map((card) => card.ended)), cost };
  const asks = cards.some((card) => card.buttons.some((button) => button.works && button.action !== "stop"));
  if (asks) return { outcome: "asking", end: still, cost };
  return still === null ? { outcome: "waiting", end: null, cost } : { outcome: "noEnd", end: still, cost };
}

function draw() {
  if (!one("setup")) return;
  const shown = gather();
  const moment = now();
  const still = stillSince(moment);
  const span = Math.max(SHORTEST, ...shown.map((line) => (endOf(line, still).end ?? moment) - line.message.at));
  const kept = new Set();
  for (const line of shown) {
    kept.add(line.message.id);
    if (!lines.has(line.message.id)) lines.set(line.message.id, new Line(line.message));
  }
  for (const [id, line] of lines) {
    if (kept.has(id)) continue;
    line.element.remove();
    lines.delete(id);
  }
  axis(span);
  shown.forEach((line, index) => {
    const { element } = lines.get(line.message.id);
    if (box.children[index] !== element) box.insertBefore(element, box.children[index] ?? null);
  });
  for (const line of shown) lines.get(line.message.id).update(line, { span, moment, still }); // a line has a width once it is in
  box.classList.toggle("nothing", !shown.length);
  box.dataset.empty = t("emptyLines");
}

/** Seconds since the question, the same for all lines. */
function axis(span) {
  const words = [0, 0.25, 0.5, 0.75, 1].map((part) => (part ? (span * part).toFixed(span < 20 ? 1 : 0) : "0"));
  const key = words.join();
  if (scale.dataset.key === key && scale.parentNode) return;
  scale.dataset.key = key;
  scale.replaceChildren(...words.map((word) => h("span", {}, t("seconds", { n: word }))));
  box.append(scale);
}

class Line {
  constructor(message) {
    this.canvas = h("canvas", { height: HEIGHT, "aria-hidden": "true" });
    this.outcome = h("span", { class: "outcome" });
    this.element = h("div", { class: "line", "data-line": message.id },
      h("p", { class: "line-head" }, face(person(message.sender)), h("span", { class: "line-text" }, message.text || message.name || ""), this.outcome),
      this.canvas);
  }

  update(line, { span, moment, still }) {
    const { outcome, end, cost } = endOf(line, still);
    const calls = cost === 1 ? t("oneCall") : t("nCalls", { n: cost });
    const time = t("seconds", { n: ((end ?? moment) - line.message.at).toFixed(1) });
    const words = `${t(outcome)} · ${calls} · ${time}`;
    const width = this.canvas.clientWidth;
    const key = `${words}|${line.ticks.length}|${line.calls.map((call) => call.good).join()}|${span}|${width}|${colours.theme}`;
    if (key === this.key) return;
    this.key = key;
    this.outcome.textContent = words;
    this.element.dataset.outcome = outcome;
    this.paint(line, { span, width, until: (end ?? moment) - line.message.at, outcome });
  }

  paint(line, { span, width, until, outcome }) {
    const sharp = devicePixelRatio || 1;
    this.canvas.width = width * sharp;
    this.canvas.height = HEIGHT * sharp;
    const ink = this.canvas.getContext("2d");
    ink.scale(sharp, sharp);
    const long = width - 10;
    const x = (time) => 5 + ((time - line.message.at) / span) * long;
    const middle = 21;
    ink.fillStyle = colours.track;
    ink.fillRect(5, middle - 0.5, long, 1);
    ink.fillStyle = colours[outcome] ?? colours.call;
    ink.globalAlpha = 0.45;
    ink.fillRect(5, middle - 1, (until / span) * long, 2);
    ink.globalAlpha = 1;
    ink.fillStyle = colours.dify;
    for (const tick of line.ticks) {
      const tall = Math.min(14, 3 + Math.log2(1 + tick.size / 80) * 2.2);
      ink.fillRect(x(tick.at) - 0.5, middle - 3 - tall, 1.5, tall);
    }
    for (const call of line.calls) {
      if (call.way !== "out") continue;
      const left = x(call.at);
      ink.fillStyle = ink.strokeStyle = call.good === false ? colours.failed : call.last ? colours.done : colours.call;
      if (call.good === false) {
        ink.lineWidth = 1.6;
        ink.beginPath();
        ink.moveTo(left - 3, middle + 5); ink.lineTo(left + 3, middle + 11);
        ink.moveTo(left + 3, middle + 5); ink.lineTo(left - 3, middle + 11);
        ink.stroke();
      } else {
        // As wide as the call took.
        const wide = Math.max(3, ((call.took ?? 0) / span) * long);
        ink.globalAlpha = 0.28;
        ink.fillRect(left, middle + 4, wide, call.last ? 13 : 9);
        ink.globalAlpha = 1;
        ink.fillRect(left, middle + 4, 2.5, call.last ? 13 : 9);
      }
    }
    for (const reply of line.replies) {
      ink.fillStyle = colours.plain;
      ink.beginPath();
      ink.arc(x(reply.at), middle + 9, 4, 0, Math.PI * 2);
      ink.fill();
    }
  }
}

function readColours() {
  // A variable's own value may be `light-dark(…)`, which a canvas does not know: a colour made of it is plain.
  const probe = box.appendChild(h("i"));
  const named = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  colours = {
    track: named("--line"), dify: named("--violet"), call: named("--brand"), done: named("--ok"), failed: named("--bad"),
    plain: named("--warn"), theme: named("--ink"),
  };
  probe.remove();
}

let due = false;
export function redraw() {
  if (due) return;
  due = true;
  // A few times a second is enough to see it move, and leaves the time for typing.
  setTimeout(() => { due = false; readColours(); draw(); }, 120);
}

onChange(["message", "call", "tick", "card", "reply", "setup"], redraw);
onLanguage(() => {
  at("legend").replaceChildren(...["Dify", "Frame", "Refused"].map((name) => h("span", { class: `key ${name.toLowerCase()}` }, t(`legend${name}`))));
  for (const line of lines.values()) line.key = "";
  scale.dataset.key = "";
  redraw();
});
new ResizeObserver(redraw).observe(box);
setInterval(() => { if ([...lines.values()].some((line) => ["waiting", "asking"].includes(line.element.dataset.outcome))) redraw(); }, 500);

// The wire: each call with its time, path, verdict, size and how long it took. The newest first.

import { at, h } from "./dom.js";
import { all, onChange, one } from "./store.js";
import { bytes } from "./talk.js";
import { onLanguage, t } from "./words.js";

const SHOWN = 200; // rows; our choice: the page stays quick, a recording keeps all
const ARROWS = { out: "→", in: "←", dify: "⇢" };

const rows = new Map();
const body = at("calls");

function row(call) {
  const verdict = call.verdict || "…";
  const state = call.good === true ? "good" : call.good === false ? "bad" : "open";
  const [status, ...code] = verdict.split(" ");
  const short = /^\d/.test(status) ? code.join(" ").split(".").at(-1).replace(/For[A-Z]\w+$/, "") : pushed(verdict);
  return h("tr", { "data-way": call.way, "data-state": state, "data-path": call.path },
    h("td", { class: "num" }, clock(call.at)),
    h("td", { class: "path", title: `${call.name} ${call.path}` }, h("span", { class: "way", "aria-hidden": "true" }, ARROWS[call.way]), h("b", {}, call.name), ` ${shorten(call.path)}`),
    h("td", { title: verdict }, h("span", { class: "verdict" }, /^\d/.test(status) ? `${status} ${short}`.trim() : short)),
    h("td", { class: "num" }, bytes(call.size)),
    h("td", { class: "num" }, duration(call.took)));
}

/** Never more than five characters in the first quarter of an hour, nor six in a day. */
function clock(seconds) {
  if (seconds < 1000) return seconds.toFixed(seconds < 100 ? 2 : 1);
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/** What became of a push, and how often it was sent. */
function pushed(verdict) {
  const [, outcome, times = ""] = verdict.match(/^([a-z]+)(.*)$/) ?? [null, "", verdict];
  return outcome ? t(outcome) + times : times;
}

/** Without what all of them begin with; the whole path is in the tooltip. */
const shorten = (path) => path.replace(/^\/v1\.0\//, "").replace(/^card\/(instances\/)?/, "").replace(/^\/v1\//, "");

function show(calls) {
  for (const call of calls) {
    const made = row(call);
    const old = rows.get(call.id);
    rows.set(call.id, made);
    if (old) old.replaceWith(made);
    else body.prepend(made);
  }
  while (rows.size > SHOWN) {
    const [id, oldest] = rows.entries().next().value;
    oldest.remove();
    rows.delete(id);
  }
  at("count").textContent = all("call").size || "";
  body.closest(".scroll").classList.toggle("nothing", !rows.size);
}

function redraw() {
  rows.clear();
  body.replaceChildren();
  body.closest(".scroll").dataset.empty = t("emptyWire");
  if (one("setup")) show([...all("call").values()].sort((one, other) => one.at - other.at).slice(-SHOWN));
}

onChange(["call"], (changed) => (changed === null ? redraw() : show(changed)));
onLanguage(redraw);

// Switches for what can go wrong, and sliders for latency and limit.

import { at, h } from "./dom.js";
import { act, all, onChange, one } from "./store.js";
import { onLanguage, t } from "./words.js";

const SIDES = ["dingtalk", "stream", "dify"];

function draw() {
  const setup = one("setup");
  if (!setup) return;
  const replay = setup.mode === "replay";
  const focused = document.activeElement?.id;
  at("switches").replaceChildren(...SIDES.map((side) => h("fieldset", { disabled: replay }, h("legend", {}, t(side)),
    ...[...all("switch").values()].filter((each) => each.side === side).map((each) => control(each, setup)))));
  if (focused?.startsWith("switch-")) at(focused)?.focus();
}

function control(each, setup) {
  const id = `switch-${each.id}`;
  const hint = t(`${each.id}Hint`, { idle: setup.idle });
  const words = h("span", { class: "switch-words" }, h("b", {}, t(each.id)), h("small", { id: `${id}-hint` }, hint));
  if (each.form === "once") {
    return h("button", { type: "button", id, class: "switch once", "aria-describedby": `${id}-hint`, onclick: (event) => once(event.currentTarget, each.id) },
      words, h("span", { class: "go", "aria-hidden": "true" }, "▸"));
  }
  return h("button", { type: "button", id, class: "switch", role: "switch", "aria-checked": String(each.on), "aria-describedby": `${id}-hint`, onclick: () => act("switch", { id: each.id, on: !each.on }) },
    words, h("span", { class: "knob", "aria-hidden": "true" }));
}

async function once(button, id) {
  button.classList.add("gone");
  await act("switch", { id, on: true });
  setTimeout(() => button.classList.remove("gone"), 700);
}

/** What a switch does, in one place: hints that unfold under the pointer would push the next switch away. */
function explain(event) {
  const hint = event?.target.closest?.(".switch")?.querySelector("small");
  at("why").textContent = hint ? hint.textContent : t("faultsWhy");
}

for (const name of ["pointerover", "focusin"]) at("switches").addEventListener(name, explain);
for (const name of ["pointerleave", "focusout"]) at("switches").addEventListener(name, () => explain());

function drawSliders() {
  const [setup, meter] = [one("setup"), one("meter")];
  if (!setup || !meter || at("sliders").contains(document.activeElement)) return;
  const replay = setup.mode === "replay";
  at("sliders").replaceChildren(
    slider("latency", { range: setup.latencies, step: 0.02, value: meter.latency, words: (value) => t("ms", { n: Math.round(value * 1000) }), replay }),
    slider("limit", { range: setup.limits, step: 1, value: meter.limit, words: (value) => t("perS", { n: value }), replay }),
  );
}

function slider(id, { range, step, value, words, replay }) {
  const output = h("output", {}, words(value));
  return h("label", { class: "slider" }, h("span", {}, t(id)), output, h("input", {
    type: "range", id: `slide-${id}`, min: range[0], max: range[1], step, value, disabled: replay,
    oninput: (event) => { output.textContent = words(Number(event.target.value)); },
    onchange: (event) => act("slide", { id, value: Number(event.target.value) }),
  }));
}

onChange(["switch", "setup"], draw);
onChange(["meter", "setup"], drawSliders);
onLanguage(() => {
  explain();
  draw();
  drawSliders();
});

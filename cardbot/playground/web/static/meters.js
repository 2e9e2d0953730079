// Counters: what an answer costs, how close the app is to its limits, and what the platform objects to.

import { at, h } from "./dom.js";
import { all, now, onChange, one } from "./store.js";
import { onLanguage, t } from "./words.js";

const FINAL = ["done", "failed"];

function draw() {
  const meter = one("meter");
  if (!meter) return;
  const ended = [...all("card").values()].filter((card) => FINAL.includes(card.state));
  const cost = ended.reduce((sum, card) => sum + card.cost, 0) / ended.length;
  const busy = busiest();
  const cells = [
    cell("perAnswer", ended.length ? cost.toFixed(1) : t("nothing"), ended.length ? `n = ${ended.length}` : ""),
    cell("perSecond", String(busy), t("ofLimit", { n: meter.limit }), busy / meter.limit),
    cell("month", meter.left?.toLocaleString() ?? "∞", t("ofLimit", { n: meter.monthly.toLocaleString() }), meter.left === null ? 0 : 1 - meter.left / meter.monthly),
    cell("objections", String(meter.objections), meter.objection || t("noObjections"), undefined, meter.objections ? "bad" : "good"),
  ];
  const key = cells.map((each) => each.outerHTML).join();
  if (key !== draw.key) at("meters").replaceChildren(...cells);
  draw.key = key;
}

function cell(name, value, detail, share, state) {
  const bar = share === undefined ? null : h("span", { class: "bar-track", "aria-hidden": "true" },
    h("span", { class: "bar-fill", "data-full": share > 0.85 ? "" : null, style: { width: `${Math.min(100, Math.round(share * 100))}%` } }));
  return h("div", { class: "meter", "data-meter": name, "data-state": state, title: detail },
    h("b", {}, value), h("span", { class: "meter-name" }, t(name)), bar, !bar && h("small", {}, detail));
}

/** Calls in the last second, of the path that had most: each path has a limit of its own. */
function busiest() {
  const since = now() - 1;
  const paths = new Map();
  for (const call of all("call").values()) {
    if (call.way === "out" && call.at > since && call.path.startsWith("/v1.0/")) {
      const path = `${call.name} ${call.path}`;
      paths.set(path, (paths.get(path) ?? 0) + 1);
    }
  }
  return Math.max(0, ...paths.values());
}

onChange(["call", "card", "meter", "setup"], draw);
onLanguage(draw);
setInterval(draw, 400); // the second goes by without any change

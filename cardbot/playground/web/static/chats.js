// The list of chats, with the last words of each.

import { at, h, icon, oneLine } from "./dom.js";
import { chat, onMove, open, speaker } from "./place.js";
import { all, onChange, one } from "./store.js";
import { titleOf } from "./talk.js";
import { onLanguage, t } from "./words.js";

function draw() {
  const setup = one("setup");
  if (!setup) return;
  const direct = setup.chats.find((each) => each.kind === "direct" && each.members.includes(speaker()));
  const shown = [direct, ...setup.chats.filter((each) => each.kind === "group")];
  const open_ = chat();
  const items = shown.map((each) => h("li", {}, h("button", {
    type: "button", class: "chat", "aria-current": each === open_ ? "true" : null, "data-chat": each.id,
    onclick: () => open(each.kind === "group" ? each.id : ""),
  },
  h("span", { class: `avatar ${each.kind}`, "aria-hidden": "true" }, icon(each.kind === "group" ? "group" : "robot")),
  h("span", { class: "chat-name" }, h("b", {}, titleOf(each)), each.kind === "direct" && h("small", { class: "tag" }, t("robot"))),
  h("span", { class: "chat-last" }, lastOf(each.id)))));
  const focused = at("chats").contains(document.activeElement) ? document.activeElement.dataset.chat : "";
  at("chats").replaceChildren(...items);
  if (focused) at("chats").querySelector(`[data-chat="${CSS.escape(focused)}"]`)?.focus();
}

function lastOf(id) {
  let last = null;
  for (const kind of ["message", "card", "reply"]) {
    for (const thing of all(kind).values()) if (thing.chat === id && (!last || thing.at > last.at)) last = thing;
  }
  if (!last) return "";
  const words = oneLine(last.text || last.name || "");
  return last.kind === "card" ? `[${t(last.state)}] ${words}` : words;
}

let drawn = "";
onChange(["message", "card", "reply", "setup"], (changed) => {
  // A card's text changes often, and most of the time not what is seen of it here.
  const key = changed === null ? "" : one("setup")?.chats.map((each) => lastOf(each.id)).join("\n");
  if (key !== drawn || !key) draw();
  drawn = key;
});
onMove(draw);
onLanguage(draw);

// Completes `@…` to the name of somebody in the chat, the robot first.

import { at, h } from "./dom.js";
import { person, speaker } from "./place.js";

const list = at("mentions");
let found = [];
let current = 0;

export const isChoosing = () => found.length > 0;

export function lookFor(text, chat) {
  const typed = text.value.slice(0, text.selectionStart).match(/(?<![a-z0-9_+-])@([\p{L}\p{N}]*)$/iu);
  if (!typed || chat.kind !== "group") return stop();
  const names = ["cardbot", ...chat.members.filter((id) => id !== speaker()).map((id) => person(id).name)];
  found = names.filter((name) => name.toLowerCase().startsWith(typed[1].toLowerCase())).slice(0, 6);
  current = 0;
  draw(text);
}

export function stop() {
  found = [];
  list.hidden = true;
  at("text").removeAttribute("aria-activedescendant");
}

/** Takes a key, if it is one for the list. */
export function choose(event, text) {
  switch (event.key) {
    case "ArrowDown": current = (current + 1) % found.length; break;
    case "ArrowUp": current = (current + found.length - 1) % found.length; break;
    case "Enter": case "Tab": complete(text, found[current]); return true;
    case "Escape": stop(); return true;
    default: return false;
  }
  draw(text);
  return true;
}

function complete(text, name) {
  const before = text.value.slice(0, text.selectionStart).replace(/@[\p{L}\p{N}]*$/u, `@${name} `);
  text.value = before + text.value.slice(text.selectionStart);
  text.setSelectionRange(before.length, before.length);
  stop();
}

function draw(text) {
  list.hidden = !found.length;
  list.replaceChildren(...found.map((name, index) => h("div", {
    role: "option", id: `mention-${index}`, class: "option", "aria-selected": String(index === current),
    onpointerdown: (event) => { event.preventDefault(); complete(text, name); },
  }, `@${name}`)));
  if (found.length) text.setAttribute("aria-activedescendant", `mention-${current}`);
  else stop();
}

// Where one is: which chat, who speaks. Kept by the browser between visits.

import { onChange, one } from "./store.js";

const place = { speaker: localStorage.speaker ?? "user0001", group: localStorage.group ?? "" };
const listeners = new Set();

export const speaker = () => place.speaker;

/** The chat that is open: a group, or the speaker's direct chat with the robot. */
export function chat() {
  const setup = one("setup");
  const open = setup?.chats.find((each) => each.id === place.group && each.members.includes(place.speaker));
  return open ?? setup?.chats.find((each) => each.kind === "direct" && each.members.includes(place.speaker));
}

export const person = (id) => one("setup").people.find((each) => each.id === id) ?? { id: "0", name: "?" };

export const isHere = (thing) => thing.chat === chat()?.id;

/** Open a group, or "" for the direct chat. */
export function open(group) {
  place.group = localStorage.group = group;
  const here = one("setup").chats.find((each) => each.id === group);
  if (here && !here.members.includes(place.speaker)) place.speaker = localStorage.speaker = here.members[0];
  tell();
}

export function speakAs(id) {
  place.speaker = localStorage.speaker = id;
  tell();
}

/** Calls `listener` whenever one goes elsewhere, or comes in. */
export function onMove(listener) {
  listeners.add(listener);
}

onChange(["setup"], () => one("setup") && tell());

function tell() {
  for (const listener of listeners) listener();
}

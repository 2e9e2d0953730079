// The messages of the open chat, oldest first, and its title.

import { CardView } from "./card.js";
import { at, face, h, icon, oneLine, robotFace } from "./dom.js";
import { chat, isHere, onMove, person, speaker } from "./place.js";
import { all, now, onChange, one } from "./store.js";
import { Typewriter } from "./typewriter.js";
import { onLanguage, speaks, t } from "./words.js";

const KINDS = ["message", "card", "reply"];
const OLD = 3; // seconds after which a text is shown at once: it was typed before this page was open

const log = at("log");
const cards = new Map();
const rows = new Map();
let quote = () => {};
let follows = true; // the end of the log stays in sight
let before = 0; // where the log was scrolled to last

export function onQuote(listener) {
  quote = listener;
}

export const titleOf = (here) => (here.kind === "group" ? here.title[speaks()] : "cardbot");

function redraw() {
  if (!one("setup")) return;
  cards.clear();
  rows.clear();
  log.replaceChildren();
  const here = chat();
  at("title").textContent = titleOf(here);
  at("members").textContent = here.kind === "group"
    ? `${t("members", { n: here.members.length })} + cardbot`
    : `${t("direct")} · ${t("asPerson", { name: person(speaker()).name })}`;
  const things = KINDS.flatMap((kind) => [...all(kind).values()]).filter(isHere);
  things.sort((one, other) => one.at - other.at);
  if (!things.length) log.append(h("p", { class: "empty" }, t(here.kind === "group" ? "emptyGroup" : "empty")));
  for (const thing of things) show(thing, { instant: true });
  follows = true;
  log.scrollTop = log.scrollHeight;
}

function show(thing, { instant }) {
  log.querySelector(".empty")?.remove();
  if (thing.kind === "card") {
    if (!cards.has(thing.id)) {
      const view = new CardView(thing, { onquote: (id) => quote(id) });
      cards.set(thing.id, view);
      put(view.row, thing);
    }
    cards.get(thing.id).update(thing, { instant });
    return;
  }
  const row = thing.kind === "message" ? messageRow(thing) : replyRow(thing);
  const old = rows.get(thing.id);
  rows.set(thing.id, row);
  if (old) old.replaceWith(row);
  else put(row, thing);
  row.dataset.at = thing.at;
}

/** Into the log, in order of time: two may arrive together. */
function put(row, thing) {
  row.dataset.at = thing.at;
  let before = null;
  for (let other = log.lastElementChild; other && Number(other.dataset.at) > thing.at; other = other.previousElementSibling) before = other;
  log.insertBefore(row, before);
}

function messageRow(message) {
  const mine = message.sender === speaker();
  const who = person(message.sender);
  return h("div", { class: `row ${mine ? "mine" : ""}`, "data-message": message.id },
    face(who),
    h("div", { class: "said" },
      mine ? h("span", { class: "hidden" }, who.name) : h("span", { class: "name" }, who.name),
      h("div", { class: "bubble" }, message.quote && h("blockquote", {}, `${message.quote.name}: ${oneLine(message.quote.text)}`), ...contentOf(message)),
      note(message)),
    quoteButton(message.id));
}

function contentOf(message) {
  switch (message.content) {
    case "picture": {
      const picture = h("img", { src: `/attachments/${message.media}`, alt: message.name, class: "picture" });
      picture.addEventListener("error", () => picture.replaceWith(h("span", {}, icon("picture"), ` ${message.name}`)));
      return [picture];
    }
    case "file":
      return [h("span", { class: "file" }, icon("file"), h("span", {}, message.name), h("small", {}, bytes(message.size)))];
    case "voice":
      return [h("span", { class: "voice" }, icon("voice"), `${message.seconds}″`),
        h("small", { class: "transcript" }, `${t(message.silent ? "spoken" : "transcript")}: ${message.text}`)];
    default:
      return mentions(message.text);
  }
}

function mentions(text) {
  const names = ["cardbot", ...one("setup").people.map((each) => each.name)];
  const parts = text.split(new RegExp(`((?<![a-z0-9_+-])@(?:${names.join("|")})(?![a-z0-9_-]|\\.[a-z0-9]))`, "iu"));
  return parts.map((part, index) => (index % 2 ? h("span", { class: "mention" }, part) : part));
}

function note(message) {
  const name = ["unaddressed", "waits", "lost", "aside", "silent", "assumed"].find((each) => message[each]);
  return name && h("small", { class: `note ${name}` }, t(name));
}

function replyRow(reply) {
  const body = h("div", { class: "md" });
  new Typewriter(body).show(reply.html, { over: true, instant: true });
  return h("div", { class: "row robot", "data-reply": reply.id }, robotFace(),
    h("div", { class: "said" }, h("div", { class: "bubble reply" }, h("small", { class: "tag" }, t("plain")), body)),
    quoteButton(reply.id));
}

function quoteButton(id) {
  return h("button", { type: "button", class: "tool quote", title: t("quote"), "aria-label": t("quote"), onclick: () => quote(id) }, icon("quote"));
}

export function bytes(count) {
  return count < 1000 ? `${count} B` : count < 1e6 ? `${(count / 1000).toFixed(count < 1e4 ? 1 : 0)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

log.addEventListener("scroll", () => {
  // Only who scrolls back stops following: a picture that is there at last moves the end away as well.
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 60) follows = true;
  else if (log.scrollTop < before) follows = false;
  before = log.scrollTop;
});
// Text grows between changes as well: whoever reads the end keeps seeing it.
const grows = () => { if (follows) log.scrollTop = log.scrollHeight; };
log.addEventListener("load", grows, true); // of pictures; it does not bubble
new ResizeObserver(grows).observe(log);
new MutationObserver(grows).observe(log, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ["data-later"] });

onChange(KINDS, (changed) => {
  if (changed === null) return redraw();
  const here = changed.filter(isHere).sort((one, other) => one.at - other.at);
  const own = here.some((thing) => thing.kind === "message" && thing.sender === speaker() && !rows.has(thing.id));
  for (const thing of here) show(thing, { instant: thing.ended !== undefined && now() - thing.ended > OLD });
  if (!own) return;
  follows = true;
  grows();
});
onMove(redraw);
onLanguage(redraw);

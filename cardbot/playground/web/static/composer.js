// Writing: who speaks, text and voice, quotes, files, and the ready-made questions.

import { at, h, hue, icon, oneLine } from "./dom.js";
import { choose, isChoosing, lookFor, stop } from "./mention.js";
import { chat, onMove, open, person, speakAs, speaker } from "./place.js";
import { act, one, upload } from "./store.js";
import { onQuote, titleOf } from "./talk.js";
import { onLanguage, speaks, t } from "./words.js";

const ROBOT = "@cardbot";

const text = at("text");
const quoting = at("quoting");
let quoted = "";
let speaks_ = false; // the next message is a voice message
let place = ""; // the chat that the draft below is for
const drafts = new Map(); // of the other chats: text and quote

async function send() {
  const words = text.value.trim();
  if (!words) return;
  const action = speaks_ ? "voice" : "say";
  const transcript = !speaks_ || at("recognise").checked;
  const [from, about] = [chat().id, quoted];
  // The box is free at once: a second Enter sends nothing twice, and what is typed meanwhile stays.
  write("", "");
  listen(false);
  const wrong = await act(action, { chat: from, speaker: speaker(), text: words, quote: about, transcript });
  if (!wrong) return;
  if (chat().id !== from) drafts.set(from, { words, about });
  else {
    write([words, text.value].filter(Boolean).join("\n"), quoted || about);
    listen(action === "voice");
  }
  tell(t("sendFailed", { reason: wrong }));
}

function write(words, about) {
  text.value = words;
  quote(about);
  grow();
}

/** Each chat has a draft of its own. */
function change() {
  const here = chat()?.id;
  if (!here || here === place) return;
  // Somebody else speaks, to the same robot: the words stay, what they quote is not to be seen there.
  const same = chat().kind === "direct" && one("setup").chats.some((each) => each.id === place && each.kind === "direct");
  if (place && !same) drafts.set(place, { words: text.value, about: quoted });
  const { words, about } = same ? { words: text.value, about: "" } : drafts.get(here) ?? { words: "", about: "" };
  const focused = document.activeElement;
  if (place || words) write(words, about);
  if (focused !== text && focused instanceof HTMLElement) focused.focus();
  place = here;
  stop();
}

function quote(id) {
  quoted = id;
  quoting.hidden = !id;
  if (!id) return;
  const thing = one("message", id) ?? one("card", id) ?? one("reply", id);
  if (!thing) return quote("");
  listen(false); // a voice message quotes nothing
  const name = thing.sender ? person(thing.sender).name : "cardbot";
  quoting.replaceChildren(
    h("span", {}, h("b", {}, t("quoting", { name })), ` ${oneLine(thing.text || thing.name || "")}`),
    h("button", { type: "button", class: "tool", "aria-label": t("dontQuote"), title: t("dontQuote"), onclick: () => quote("") }, icon("close")),
  );
  text.focus();
}

function listen(on) {
  speaks_ = on;
  at("voice").setAttribute("aria-pressed", String(on));
  at("speaking").hidden = !on;
  invite();
}

function invite() {
  const here = chat();
  if (!here) return;
  text.placeholder = speaks_ ? t("speak") : here.kind === "group" ? t("writeGroup", { title: titleOf(here) }) : t("write");
  tell(t(here.kind === "group" ? "hintGroup" : "hint"));
}

function tell(sentence) {
  at("hint").textContent = sentence;
}

function grow() {
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight, 160)}px`;
}

function draw() {
  const setup = one("setup");
  if (!setup) return;
  change();
  const replay = setup.mode === "replay";
  at("composer").hidden = at("ready").hidden = replay;
  at("replay").hidden = !replay;
  at("recognised").hidden = setup.dify === "real"; // there is no sound in it that a real one could listen to
  const here = chat();
  const members = here.kind === "group" ? here.members : setup.people.slice(0, 4).map((each) => each.id);
  if (!members.includes(speaker())) members.unshift(speaker());
  at("speaker").replaceChildren(...members.map((id) => h("option", { value: id, selected: id === speaker() }, person(id).name)));
  const who = person(speaker());
  at("speaker-face").textContent = /[\u4e00-\u9fff]/.test(who.name) ? who.name.slice(-1) : who.name[0];
  at("speaker-face").dataset.hue = hue(who.id);
  const focused = at("ready").contains(document.activeElement) ? document.activeElement : null;
  at("ready").replaceChildren(
    ...setup.questions.map((each) => h("button", { type: "button", class: "chip", "data-ready": each.id, title: each.question[speaks()], onclick: () => ask(each) }, each.label[speaks()])),
    h("button", { type: "button", class: "chip strong", id: "crowd", onclick: crowd }, icon("crowd"), t("twenty")),
  );
  if (focused) at("ready").querySelector(focused.id ? "#crowd" : `[data-ready="${focused.dataset.ready}"]`)?.focus();
  invite();
}

function ask(ready) {
  const question = ready.question[speaks()];
  act("say", { chat: chat().id, speaker: speaker(), text: chat().kind === "group" ? `${ROBOT} ${question}` : question });
}

function crowd() {
  const everyone = one("setup").chats.filter((each) => each.kind === "group").at(-1);
  open(everyone.id);
  act("crowd", { language: speaks() });
}

async function attach(input) {
  const [file] = input.files;
  input.value = "";
  if (!file) return;
  const wrong = await upload(file, { chat: chat().id, speaker: speaker() });
  if (wrong) tell(t("sendFailed", { reason: wrong }));
}

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
text.addEventListener("input", () => {
  grow();
  lookFor(text, chat());
});
text.addEventListener("blur", () => setTimeout(stop, 150));
text.addEventListener("keydown", (event) => {
  if (event.isComposing) return; // an input method is choosing characters
  if (isChoosing() && choose(event, text)) return event.preventDefault();
  if (event.key === "Escape" && quoted) return quote("");
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    send();
  }
});
at("speaker").addEventListener("change", (event) => speakAs(event.target.value));
at("voice").addEventListener("click", () => {
  listen(!speaks_);
  if (speaks_) quote("");
  text.focus();
});
for (const kind of ["picture", "file"]) {
  at(kind).addEventListener("click", () => at(`chosen-${kind}`).click());
  at(`chosen-${kind}`).addEventListener("change", (event) => attach(event.target));
}
at("again").addEventListener("click", () => act("restart"));
onQuote(quote);
onMove(draw);
onLanguage(draw);

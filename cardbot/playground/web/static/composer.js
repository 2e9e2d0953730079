// Writing: who speaks, text and voice, quotes, files, and the ready-made questions.

import { at, h, hue, icon } from "./dom.js";
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

async function send() {
  const words = text.value.trim();
  if (!words) return;
  const action = speaks_ ? "voice" : "say";
  const wrong = await act(action, { chat: chat().id, speaker: speaker(), text: words, quote: quoted });
  if (wrong) return tell(t("sendFailed", { reason: wrong }));
  text.value = "";
  quote("");
  listen(false);
  grow();
}

function quote(id) {
  quoted = id;
  quoting.hidden = !id;
  if (!id) return;
  const thing = one("message", id) ?? one("card", id) ?? one("reply", id);
  const name = thing.sender ? person(thing.sender).name : "cardbot";
  quoting.replaceChildren(
    h("span", {}, h("b", {}, t("quoting", { name })), ` ${(thing.text ?? thing.name ?? "").slice(0, 120)}`),
    h("button", { type: "button", class: "tool", "aria-label": t("dontQuote"), title: t("dontQuote"), onclick: () => quote("") }, icon("close")),
  );
  text.focus();
}

function listen(on) {
  speaks_ = on;
  at("voice").setAttribute("aria-pressed", String(on));
  invite();
}

function invite() {
  const here = chat();
  if (!here) return;
  text.placeholder = speaks_ ? t("speak") : here.kind === "group" ? t("writeGroup", { title: titleOf(here) }) : t("write");
  tell(t("hint"));
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
  const replay = setup.mode === "replay";
  at("composer").hidden = at("ready").hidden = replay;
  at("replay").hidden = !replay;
  const here = chat();
  const members = here.kind === "group" ? here.members : setup.people.slice(0, 4).map((each) => each.id);
  if (!members.includes(speaker())) members.unshift(speaker());
  at("speaker").replaceChildren(...members.map((id) => h("option", { value: id, selected: id === speaker() }, person(id).name)));
  const who = person(speaker());
  at("speaker-face").textContent = /[\u4e00-\u9fff]/.test(who.name) ? who.name.slice(-1) : who.name[0];
  at("speaker-face").dataset.hue = hue(who.id);
  at("ready").replaceChildren(
    ...setup.questions.map((each) => h("button", { type: "button", class: "chip", "data-ready": each.id, title: each.question[speaks()], onclick: () => ask(each) }, each.label[speaks()])),
    h("button", { type: "button", class: "chip strong", id: "crowd", onclick: crowd }, icon("crowd"), t("twenty")),
  );
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

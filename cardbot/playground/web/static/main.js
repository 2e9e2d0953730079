// Puts the page together: language, colours, tabs, the link to the server.

import { at } from "./dom.js";
import { connect, onChange, one } from "./store.js";
import { fill, onLanguage, speak, speaks, t } from "./words.js";
import "./talk.js";
import "./chats.js";
import "./composer.js";
import { redraw } from "./timeline.js";
import "./calls.js";
import "./meters.js";
import "./faults.js";

const THEMES = ["auto", "light", "dark"];
let linked = false;

function paint() {
  const theme = THEMES.includes(localStorage.theme) ? localStorage.theme : "auto";
  document.documentElement.dataset.theme = theme;
  at("theme-name").textContent = t(theme);
  at("theme").setAttribute("aria-label", t("themeLabel", { name: t(theme) }));
  redraw();
}

function drawLink() {
  const [setup, meter] = [one("setup"), one("meter")];
  const up = linked && (setup?.mode === "replay" || meter?.connections > 0);
  const words = !linked ? t("offline") : setup?.mode === "replay" ? t("recording") : !up ? t("disconnected")
    : meter.connections === 1 ? t("connected") : t("connections", { n: meter.connections });
  if (at("link").textContent !== words) at("link").textContent = words;
  at("link").dataset.state = up ? "good" : "bad";
  at("source").textContent = setup ? t(setup.dify) : "";
}

onChange(["meter", "setup"], () => {
  // The server knows the bot's language; whoever chose one here before keeps it.
  const setup = one("setup");
  if (setup && !localStorage.language && setup.language !== speaks()) speak(setup.language);
  drawLink();
});
onLanguage(() => {
  fill();
  at("language").textContent = t("other");
  at("language").lang = speaks() === "zh" ? "en" : "zh-CN";
  at("language").setAttribute("aria-label", t("languageLabel"));
  paint();
  drawLink();
});

at("language").addEventListener("click", () => {
  localStorage.language = speaks() === "zh" ? "en" : "zh";
  speak(localStorage.language);
});
at("theme").addEventListener("click", () => {
  localStorage.theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  paint();
});
for (const button of at("tabs").querySelectorAll("button")) {
  button.addEventListener("click", () => turnTo(button.dataset.tab));
}

function turnTo(tab) {
  document.body.dataset.tab = tab;
  for (const button of at("tabs").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.tab === tab));
  redraw();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !["TEXTAREA", "INPUT", "SELECT"].includes(document.activeElement?.tagName)) {
    event.preventDefault();
    at("text").focus();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
turnTo("talk");
if (localStorage.language) speak(localStorage.language);
connect((up) => {
  linked = up;
  drawLink();
});

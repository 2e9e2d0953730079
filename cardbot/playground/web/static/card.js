// One AI card: its state, its text as it is typed, its buttons.

import { h, icon, robotFace } from "./dom.js";
import { speaker } from "./place.js";
import { act } from "./store.js";
import { Typewriter } from "./typewriter.js";
import { t } from "./words.js";

const FINAL = ["done", "failed"];

export class CardView {
  constructor(card, { onquote }) {
    this.id = card.id;
    this.label = h("span", { class: "state" });
    this.cost = h("span", { class: "cost" });
    this.body = h("div", { class: "md" });
    this.buttons = h("footer", {});
    this.element = h("article", { class: "card", "data-card": card.id },
      h("header", {}, h("span", { class: "spark", "aria-hidden": "true" }), this.label, this.cost), this.body, this.buttons);
    this.row = h("div", { class: "row robot" }, robotFace(), h("div", { class: "said" }, this.element),
      h("button", { type: "button", class: "tool quote", title: t("quote"), "aria-label": t("quote"), onclick: () => onquote(card.id) }, icon("quote")));
    this.typewriter = new Typewriter(this.body);
    this.html = null;
  }

  update(card, { instant }) {
    const over = FINAL.includes(card.state);
    this.element.dataset.state = card.state;
    this.element.setAttribute("aria-busy", String(!over));
    this.label.textContent = t(card.state);
    this.cost.textContent = card.cost === 1 ? t("oneCall") : t("nCalls", { n: card.cost });
    if (card.html !== this.html || over !== this.over) {
      this.typewriter.show(card.html, { over, instant });
      this.html = card.html;
      this.over = over;
    }
    const shown = JSON.stringify(card.buttons);
    if (shown === this.shown) return;
    this.shown = shown;
    this.buttons.replaceChildren(...card.buttons.map((button) => h("button", {
      type: "button", class: "plain", "data-action": button.action, "data-color": button.color, disabled: !button.works,
      onclick: (event) => this.press(event.currentTarget, button.action),
    }, button.label)));
  }

  async press(button, action) {
    button.disabled = true;
    await act("click", { card: this.id, action, speaker: speaker() });
    setTimeout(() => { button.disabled = false; }, 1000);
  }
}

// Types a text out between two frames of a card, as DingTalk's client does.

// The one place that makes markup from text: the server's, which is sanitised there. The page's policy allows no other.
const policy = globalThis.trustedTypes?.createPolicy("markdown", { createHTML: (html) => html });

const SHORTEST = 0.35; // seconds for a frame's new text, at least; our choice: faster looks like a jump
const LONGEST = 2.4; // and at most: with the next frame late, waiting for it looks better than crawling
const LAST = 0.7; // for what the last frame adds: the answer is there, nobody should wait for it

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Typewriter {
  constructor(root) {
    this.root = root;
    this.caret = document.createElement("span");
    this.caret.className = "caret";
    this.text = "";
    this.shown = 0;
    this.since = 0;
    this.items = [];
  }

  /** Show this markup; what is new in it is typed. `over`: nothing will follow. `instant`: it is old already. */
  show(html, { over, instant }) {
    const template = document.createElement("template");
    template.innerHTML = policy ? policy.createHTML(html) : html;
    for (const table of template.content.querySelectorAll("table")) {
      const scroller = document.createElement("div");
      scroller.className = "wide";
      scroller.tabIndex = 0;
      table.replaceWith(scroller);
      scroller.append(table);
    }
    for (const code of template.content.querySelectorAll("pre")) code.tabIndex = 0;
    const text = template.content.textContent;
    const kept = common(this.text.slice(0, Math.floor(this.shown)), text);
    const moment = performance.now() / 1000;
    const gap = Math.min(Math.max(moment - this.since, SHORTEST), LONGEST);
    this.since = moment;
    this.text = text;
    this.over = over;
    this.items = itemsOf(template.content);
    this.next = 0;
    this.root.replaceChildren(template.content);
    this.shown = kept;
    this.rate = (text.length - kept) / (over ? LAST : gap);
    this.reveal();
    if (instant || still.matches || document.hidden) this.finish();
    else this.run();
  }

  run() {
    if (this.frame) return;
    let before = performance.now();
    const step = (moment) => {
      this.frame = 0;
      this.shown = Math.min(this.text.length, this.shown + (this.rate * (moment - before)) / 1000);
      before = moment;
      this.reveal();
      if (this.shown < this.text.length) this.frame = requestAnimationFrame(step);
      else if (this.over) this.caret.remove();
    };
    this.frame = requestAnimationFrame(step);
  }

  finish() {
    this.shown = this.text.length;
    this.reveal();
    if (this.over) this.caret.remove();
  }

  /** Bring the page up to `shown` characters. What comes later is there, and not displayed. */
  reveal() {
    let last = null;
    while (this.next < this.items.length) {
      const item = this.items[this.next];
      const length = item.text === undefined ? 0 : item.text.length;
      if (item.start > this.shown || (item.start === this.shown && this.shown < this.text.length)) break;
      if (item.text === undefined) item.node.removeAttribute("data-later");
      else {
        item.node.data = item.text.slice(0, Math.floor(this.shown) - item.start);
        if (item.text.trim()) last = item.node;
        if (item.start + length > this.shown) break;
      }
      this.next += 1;
    }
    if (last?.parentNode) last.after(this.caret);
  }
}

/** Elements and texts in order, with the number of characters before each; all of them hidden. */
function itemsOf(fragment) {
  const items = [];
  let start = 0;
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE) {
      items.push({ node, start, text: node.data });
      start += node.data.length;
      node.data = "";
    } else if (!["TD", "TH"].includes(node.tagName)) { // cells keep their columns
      node.setAttribute("data-later", "");
      items.push({ node, start });
    }
  }
  return items;
}

function common(one, other) {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return length;
}

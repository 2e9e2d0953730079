// Makes elements. No markup is made from text here: `html` in typewriter.js is the one place that does.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (`onclick`) and children; what is null or false is left out. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [property, is] of Object.entries(value)) element.style.setProperty(property, is);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const at = (id) => document.getElementById(id);

/** A face for somebody: the first letter, or the last character of a Chinese name, on a colour of their own. */
export function face(person) {
  const letter = /[\u4e00-\u9fff]/.test(person.name) ? person.name.slice(-1) : person.name.slice(0, 1);
  return h("span", { class: "avatar", "aria-hidden": "true", "data-hue": hue(person.id) }, letter);
}

export function robotFace() {
  return h("span", { class: "avatar robot", "aria-hidden": "true" }, icon("robot"));
}

/** The beginning of a text in one line, without the marks of its Markdown. */
export function oneLine(text) {
  const rules = /^[\s|:-]+$/gm; // below the head of a table, and between paragraphs
  return text.slice(0, 160).replace(rules, " ").replace(/[#*`>|]|!?\[|\]\(\S*\)?/g, "").replace(/\s+/g, " ").trim();
}

export const hue = (id) => Number(id.replace(/\D/g, "")) % 8;

// What the server says there is, kept by kind and id; and what the page asks the server to do.

const KEPT = { message: 400, card: 400, reply: 400, call: 2000, tick: 6000 }; // as the server keeps them
const things = new Map();
const listeners = [];
let offset = 0; // of the server's clock from this page's, in seconds

export const all = (kind) => things.get(kind) ?? new Map();
export const one = (kind, id = kind) => all(kind).get(id);

/** Seconds since the playground began, as the server counts them. */
export const now = () => performance.now() / 1000 + offset;

/** Calls `listener(changed)` after each change of these kinds; null when everything is new. */
export function onChange(kinds, listener) {
  listeners.push({ kinds, listener });
}

export function connect(onLink) {
  const source = new EventSource("/events");
  source.addEventListener("open", () => onLink(true));
  source.addEventListener("error", () => onLink(false));
  source.addEventListener("state", (event) => take(JSON.parse(event.data)));
}

function take({ now: theirs, whole, put }) {
  offset = theirs - performance.now() / 1000;
  if (whole) things.clear();
  const changed = new Map();
  for (const thing of put) {
    if (!things.has(thing.kind)) things.set(thing.kind, new Map());
    const kind = things.get(thing.kind);
    kind.set(thing.id, thing);
    if (kind.size > (KEPT[thing.kind] ?? Infinity)) kind.delete(kind.keys().next().value);
    if (!changed.has(thing.kind)) changed.set(thing.kind, []);
    changed.get(thing.kind).push(thing);
  }
  for (const { kinds, listener } of listeners) {
    if (whole) listener(null);
    else if (kinds.some((kind) => changed.has(kind))) listener(kinds.flatMap((kind) => changed.get(kind) ?? []));
  }
}

/** Do something on the server. Resolves to what was wrong with it, or "". */
export async function act(name, body = {}) {
  return answer(fetch(`/do/${name}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }));
}

export async function upload(file, { chat, speaker }) {
  const query = new URLSearchParams({ chat, speaker, name: file.name });
  const headers = { "Content-Type": file.type || "application/octet-stream" };
  return answer(fetch(`/upload?${query}`, { method: "POST", headers, body: file }));
}

async function answer(request) {
  try {
    const response = await request;
    return response.ok ? "" : (await response.json()).error ?? response.statusText;
  } catch (error) {
    return error.message;
  }
}

// The search box: every word typed must occur in an entry of index.js; names that begin with the words come first.
const form = document.querySelector(".search"), box = form.querySelector("input"), hits = form.querySelector("ul");
const status = form.querySelector("[role=status]");
form.hidden = false;

// NT-Xent, nt_xent and "nt xent" are the same words.
function flat(text) {
  return text.toLowerCase().replace(/[\s_/-]+/g, " ").trim();
}

// A short word must be a whole word, a longer one may be the beginning or the middle of one.
function occurs(word, text) {
  return word.length > 2 ? text.includes(word) : text.split(/[^\p{L}\p{N}]+/u).includes(word);
}

const ENTRIES = BOOK.map(entry => {
  const name = flat(entry[0]), about = name + " " + flat(entry[1]);
  return { entry, name, about, more: about + " " + flat(entry[3] || "") };
});

function rank({ name, about, more }, query) {
  const words = query.split(" ");
  if (!words.every(word => occurs(word, more))) return Infinity;
  const place = name === query ? 0 : name.startsWith(query) ? 1 : name.includes(query) ? 2 : 3;
  return place + (words.every(word => occurs(word, about)) ? 0 : 4) + name.length / 1000;
}

function item([name, about, address]) {
  const li = document.createElement("li"), a = document.createElement("a"), small = document.createElement("small");
  a.href = address;
  a.textContent = name + " ";
  small.textContent = about;
  a.append(small);
  li.append(a);
  return li;
}

function search() {
  const query = flat(box.value);
  const found = query ? ENTRIES.map(known => [rank(known, query), known.entry]).filter(pair => pair[0] < Infinity) : [];
  found.sort((a, b) => a[0] - b[0]);
  hits.replaceChildren(...found.slice(0, 12).map(pair => item(pair[1])));
  status.textContent = !query ? "" : found.length ? `${found.length} found` : "nothing found: try fewer words";
}

function shut() {
  hits.replaceChildren();
  status.textContent = "";
}

box.addEventListener("input", search);
form.addEventListener("submit", event => { event.preventDefault(); hits.querySelector("a")?.click(); });
hits.addEventListener("click", () => setTimeout(shut));    // the page may be this one
document.addEventListener("focusin", event => { if (!form.contains(event.target)) shut(); });
form.addEventListener("keydown", event => {
  const stops = [box, ...hits.querySelectorAll("a")], step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  if (event.target === box && !hits.children.length) search();
  stops[stops.indexOf(event.target) + step]?.focus();
});
document.addEventListener("keydown", event => {
  if (event.key === "/" && document.activeElement.tagName !== "INPUT") { event.preventDefault(); box.focus(); }
  if (event.key === "Escape") {
    if (form.contains(document.activeElement)) box.focus();
    box.value = "";
    shut();
  }
});

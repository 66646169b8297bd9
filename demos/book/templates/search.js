// The search box: every word typed must occur in an entry of index.js; names that begin with it come first.
const form = document.querySelector(".search"), box = form.querySelector("input"), hits = form.querySelector("ul");
form.hidden = false;

// A short word must be a whole word, a longer one may be the beginning or the middle of one.
function occurs(word, text) {
  return word.length > 2 ? text.includes(word) : text.split(/[^a-z0-9_]+/).includes(word);
}

function rank(entry, words) {
  const name = entry[0].toLowerCase(), about = name + " " + entry[1].toLowerCase(), more = about + " " + (entry[3] || "");
  if (!words.every(word => occurs(word, more))) return Infinity;
  const place = name === words[0] ? 0 : name.startsWith(words[0]) ? 1 : name.includes(words[0]) ? 2 : 3;
  return place + (words.every(word => occurs(word, about)) ? 0 : 4) + name.length / 1000;
}

function item([name, about, address]) {
  const li = document.createElement("li"), a = document.createElement("a"), small = document.createElement("small");
  a.href = address;
  a.textContent = name;
  small.textContent = about;
  a.append(small);
  li.append(a);
  return li;
}

function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = words.length ? BOOK.map(entry => [rank(entry, words), entry]).filter(pair => pair[0] < Infinity) : [];
  found.sort((a, b) => a[0] - b[0]);
  hits.replaceChildren(...found.slice(0, 12).map(pair => item(pair[1])));
  if (words.length && !found.length) hits.textContent = "nothing found";
}

box.addEventListener("input", search);
form.addEventListener("submit", event => { event.preventDefault(); hits.querySelector("a")?.click(); });
document.addEventListener("keydown", event => {
  if (event.key === "/" && document.activeElement.tagName !== "INPUT") { event.preventDefault(); box.focus(); }
  if (event.key === "Escape") { box.value = ""; hits.replaceChildren(); }
});

// The search box: entries of index.js in the order of how many words of the question they have, and where.
const form = document.querySelector(".search"), box = form.querySelector("input"), hits = form.querySelector("ul");
const status = form.querySelector("[role=status]");
const COMMON = new Set(("a an and are as at be by can cannot code do does for from get gets happen happens has have here how i in " +
  "is it its line lines make makes not of on or s so than that the their there they this to what when where which who why with " +
  "work works").split(" "));
form.hidden = false;

// NT-Xent, nt_xent and "nt xent" are the same words; T**2, T², T^2 and "T squared" too. A blank stands at both ends.
function flat(text) {
  const words = text.toLowerCase().replaceAll("**", "^").replaceAll("²", "^2").replace(/[^\p{L}\p{N}^]+/gu, " ");
  return ` ${words.trim()} `.replace(/ (\p{L}) squared(?= )/gu, " $1^2");
}

// The words of a question that say something, without their endings.
function wordsOf(question) {
  const all = flat(question).trim().split(" "), telling = all.filter(word => !COMMON.has(word));
  return (telling.length ? telling : all).map(word => word.replace(/^(.{4,}?)(?:ing|ed|es|e|s)$|^(...)s$/, "$1$2"));
}

// How much an entry says about a word: in its name 4 or 3, in what it is 2, in its text 1. Short words stand alone.
function weight(word, { name, about, more }) {
  const sought = word.length > 2 ? ` ${word}` : ` ${word} `;
  if (name.includes(sought)) return name.includes(` ${word} `) ? 4 : 3;
  if (about.includes(sought)) return 2;
  if (word.length > 2 && name.includes(word)) return 2;
  return more.includes(sought) ? 1 : 0;
}

// The index is half a megabyte: it is read when somebody comes to the box.
let entries = [];
box.addEventListener("focus", () => {
  const script = document.createElement("script");
  script.src = "index.js";
  script.addEventListener("load", () => {
    entries = BOOK.map(entry => {
      const [name, about, , more = ""] = entry;
      return name.endsWith("?") ? { entry, name: "", about: flat(name + about), more: flat(more) }    // a demo's question
        : { entry, name: flat(name), about: flat(about), more: flat(more) };
    });
    if (box.value) search();
  });
  document.head.append(script);
}, { once: true });

// [score, has all words, entry] of what has any word; a rare word counts more.
function ranked(question) {
  const words = wordsOf(question), whole = flat(question);
  const table = entries.map(known => words.map(word => weight(word, known)));
  const rarity = words.map((_, j) => Math.log(1 + entries.length / (1 + table.filter(row => row[j]).length)));
  const found = entries.map(({ entry, name }, i) => {
    const score = table[i].reduce((sum, value, j) => sum + (value ? value + 2 : 0) * rarity[j], 0);
    const called = name === whole ? 100 : name.startsWith(whole.trimEnd()) ? 10 : 0;
    return [score && score + called - name.length / 1000, table[i].every(Boolean), entry];
  });
  return found.filter(([score]) => score > 0).sort((a, b) => b[0] - a[0]);
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
  const asked = entries.length && flat(box.value).trim(), found = asked ? ranked(box.value) : [];
  const whole = found.filter(([, all]) => all).length;
  hits.replaceChildren(...found.slice(0, 12).map(([, , entry]) => item(entry)));
  status.textContent = !asked ? "" : whole ? `${whole} with all words` : found.length ? "nothing has all words; the nearest" : "nothing found";
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

// Keeps the page fresh. Everything works without this file: links and forms are plain HTML, which the server
// makes. Updates are HTML from the same templates, in which every name is escaped.
"use strict";

const stale = document.getElementById("stale");
const look = document.getElementById("look");
const said = new Map();

// say tells a screen reader, politely.
function say(text) {
  document.getElementById("say").textContent = text;
}

// tellChange speaks the parts' own summaries, once each.
function tellChange(part, target) {
  const now = [...target.querySelectorAll("[data-say]")].map((e) => e.dataset.say);
  const before = said.get(part);
  said.set(part, now);
  if (before) {
    const fresh = now.filter((text) => !before.includes(text));
    if (fresh.length > 0) say(fresh.join(". "));
  }
}

// replace puts fresh HTML in the place of a part. Opened details stay open, and the focus stays.
function replace(target, html) {
  const open = [...target.querySelectorAll("details[open]")].map((e) => e.id);
  const focused = target.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && (focused.id || (focused.closest("details") || {}).id);
  const inner = focused && !focused.id ? focused.tagName : "";
  const fresh = new DOMParser().parseFromString(html, "text/html");
  target.replaceChildren(...fresh.body.childNodes);
  for (const id of open) {
    const e = document.getElementById(id);
    if (e) e.open = true;
  }
  prepare(target);
  if (!key) return;
  const home = document.getElementById(key);
  if (!home) return;
  const to = inner ? home.querySelector(inner) || home : home;
  to.focus({ preventScroll: true });
}

// busy reports whether the reader is selecting text in a part: it is not torn away.
function busy(target) {
  const s = document.getSelection();
  return s && !s.isCollapsed && target.contains(s.anchorNode);
}

// prepare makes the buttons of commands work, and the axis.
function prepare(root) {
  for (const button of root.querySelectorAll("button.copy")) {
    if (!navigator.clipboard) continue; // without TLS or loopback a browser has none
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("code").textContent;
      try {
        await navigator.clipboard.writeText(text);
        say("Copied");
        button.classList.add("done");
      } catch {
        say("The browser did not allow that. Select the text instead.");
      }
    });
  }
  const axis = root.querySelector("#axis");
  if (!axis) return;
  axis.addEventListener("click", (event) => {
    if (event.target.closest("a")) return;
    const box = axis.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, ((event.clientX - box.left) / box.width - 0.01) / 0.98));
    const from = Number(axis.dataset.from), to = Number(axis.dataset.to);
    document.getElementById("at").value = new Date(from + part * (to - from)).toISOString();
    document.getElementById("moment").requestSubmit();
  });
}

// reveal opens the moment that the address names.
function reveal() {
  const e = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!e) return;
  if (e.tagName === "DETAILS") {
    e.open = true;
    e.querySelector("summary").focus();
  } else if (e.tabIndex === -1) {
    e.focus();
  }
}

let alive = 0;

function follow() {
  const source = new EventSource(document.body.dataset.stream);
  source.addEventListener("part", (event) => {
    const { part, html } = JSON.parse(event.data);
    const target = document.querySelector(`[data-part="${part}"]`);
    if (!target || busy(target)) return;
    replace(target, html);
    tellChange(part, target);
  });
  source.addEventListener("look", (event) => {
    alive = Date.now();
    const { at } = JSON.parse(event.data);
    look.textContent = at;
    look.dateTime = at.replace(" ", "T") + "Z";
    stale.hidden = true;
  });
  source.addEventListener("reload", () => location.reload());
  source.addEventListener("error", () => {
    warn();
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 5000); // it does not come back by itself
  });
}

// warn says that the page shows the past.
function warn() {
  if (!stale.hidden) return;
  stale.textContent = `No updates: this is the state of ${look.textContent} UTC. The proxy may be away.`;
  stale.hidden = false;
}

for (const target of document.querySelectorAll("[data-part]")) {
  tellChange(target.dataset.part, target);
}
prepare(document);
addEventListener("hashchange", reveal);
reveal();
if (!location.hash) document.getElementById("notice")?.focus();
alive = Date.now();
setInterval(() => Date.now() - alive > 10000 && warn(), 2000);
follow();

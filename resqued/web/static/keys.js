// Keys, the theme, and the menu of a narrow page. ? lists the keys; they can be switched
// off there (WCAG 2.1.4), and do nothing while somebody types.
"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const help = byId("help"), question = byId("question"), isUsed = byId("keys-on");
  const pages = { o: "/overview", q: "/queues", w: "/working", f: "/failed", k: "/workers" };
  let goesAt = 0;

  function read(name) { try { return localStorage.getItem(name); } catch { return null; } }
  function keep(name, value) { try { localStorage.setItem(name, value); } catch { /* this page */ } }

  const themes = ["", "light", "dark"];
  function showTheme() { byId("theme").textContent = "Theme: " + (root.dataset.theme || "system"); }
  function nextTheme() {
    const next = themes[(themes.indexOf(root.dataset.theme || "") + 1) % themes.length];
    if (next) root.dataset.theme = next; else delete root.dataset.theme;
    keep("resqued-theme", next);
    showTheme();
  }

  function turnMenu() {
    const isOpen = root.classList.toggle("menu-open");
    byId("menu").setAttribute("aria-expanded", String(isOpen));
  }

  // The rows that a key can reach: focus goes to what is in them.
  function reachable(row) { return row.querySelector("td :is(a[href], input, button)"); }
  function current() { return document.activeElement.closest("main table.list tbody tr"); }
  function move(step) {
    const rows = [...document.querySelectorAll("main table.list tbody tr")].filter(reachable);
    const at = rows.indexOf(current());
    const row = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step];
    if (row) reachable(row).focus();
  }
  function boxes(selector) { return document.querySelectorAll("main input[type=checkbox][name=id]" + selector); }
  function select() {
    const box = current() && current().querySelector("input[type=checkbox][name=id]");
    if (box) box.click();
  }

  // The button of the page that does it, if something is selected or the page has one thing.
  function act(word, then) {
    const button = document.querySelector(`main button[formaction*="/${word}"]:not([disabled])`);
    if (button && (boxes(":checked").length || !boxes("").length)) then(button);
  }
  function remove(button) {
    const number = boxes(":checked").length;
    byId("question-text").textContent = number > 1 ? `Remove the ${number} that are selected?` : "Remove it?";
    question.returnValue = "";  // The event of the question before may come after this answer.
    question.onclose = () => { if (question.returnValue === "yes") { question.returnValue = ""; button.click(); } };
    question.showModal();
  }

  function go(key) {
    const path = pages[key];
    const links = path ? [...document.querySelectorAll("#tabs a")] : [];
    const link = links.find((each) => new URL(each.href).pathname.endsWith(path));
    if (link) link.click();
  }

  const keys = {
    "?": () => help.showModal(),
    "/": () => { if (innerWidth <= 640 && !root.classList.contains("menu-open")) turnMenu(); byId("search").focus(); },
    g: () => { goesAt = Date.now(); },
    j: () => move(1),
    k: () => move(-1),
    x: select,
    e: () => act("retry", (button) => button.click()),
    "#": () => act("remove", remove),
    r: () => document.dispatchEvent(new Event("resqued:live")),
    t: nextTheme,
  };

  function isTyping(element) {
    return element.isContentEditable || element.matches("input:not([type=checkbox], [type=radio]), textarea, select");
  }
  function pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat) return;
    if (!isUsed.checked || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const isGoing = Date.now() - goesAt < 1500;
    goesAt = 0;
    const action = isGoing ? () => go(event.key) : Object.hasOwn(keys, event.key) && keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  isUsed.checked = read("resqued-keys") !== "off";
  isUsed.addEventListener("change", () => keep("resqued-keys", isUsed.checked ? "on" : "off"));
  document.addEventListener("keydown", pressed);
  for (const [id, click] of [["theme", nextTheme], ["menu", turnMenu], ["keys", () => help.showModal()]]) {
    byId(id).hidden = false;
    byId(id).addEventListener("click", click);
  }
  showTheme();
})();

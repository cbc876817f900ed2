// Live parts: each section[data-live] asks for itself when it is due. A part waits while
// the tab is hidden, a box of the page is ticked, a dialog is open or a field has focus.
"use strict";
(() => {
  const parts = [...document.querySelectorAll("section[data-live]")];
  const state = document.getElementById("live-state");
  const toggle = document.getElementById("live");
  const SLOWEST = 30000, IDLE_AFTER = 600000, IDLE = 10000;
  let isOn = true, lastInput = Date.now(), updated = Date.now();
  try { isOn = localStorage.getItem("resqued-live") !== "off"; } catch { /* on */ }
  if (!parts.length || !window.htmx) return;

  for (const part of parts) {
    const url = new URL(location.href);
    url.searchParams.set("part", part.dataset.live);
    // What the page has seen, for a part that counts what is new.
    if (part.dataset.seen) url.searchParams.set("seen", part.dataset.seen);
    part.setAttribute("hx-get", url.pathname + url.search);
    part.setAttribute("hx-trigger", "due");
    part.setAttribute("hx-swap", "innerMorph");
    part.setAttribute("hx-ptag", "none");
    part.wait = 2000;
    part.failures = 0;
    part.addEventListener("htmx:after:request", (event) => answered(part, event.detail.ctx));
    part.addEventListener("htmx:before:swap", (event) => {
      // An answer that is no part, and one that comes while it would disturb.
      if (event.detail.ctx.response.status !== 200 || obstacle()) event.preventDefault();
    });
    part.addEventListener("htmx:error", () => failed(part));
    htmx.process(part);
    schedule(part);
  }

  function obstacle() {
    if (!isOn) return "off";
    if (document.hidden) return "the page is hidden";
    const ticked = document.querySelectorAll("main input[type=checkbox][name=id]:checked").length;
    if (ticked) return ticked + " selected";
    if (document.querySelector("dialog[open]")) return "a question is open";
    const focus = document.activeElement;
    if (focus && focus.closest("main") && focus.matches("input:not([type=checkbox]), textarea, select")) {
      return "a field is in use";
    }
    return document.getSelection().isCollapsed ? "" : "text is selected";
  }

  function schedule(part) {
    clearTimeout(part.timer);
    const idle = Date.now() - lastInput > IDLE_AFTER ? IDLE : 0;
    part.timer = setTimeout(() => {
      if (obstacle()) { show(); schedule(part); } else { htmx.trigger(part, "due"); }
    }, Math.max(part.wait, idle));
  }

  function answered(part, ctx) {
    const status = ctx.response ? ctx.response.status : 0;
    if (status !== 200 && status !== 304) { failed(part); return; }
    const told = Number(ctx.response.headers.get("X-Interval"));
    part.wait = told >= 500 ? told : 2000;
    part.failures = 0;
    part.classList.remove("stale");
    updated = Date.now();
    show();
    schedule(part);
  }

  function failed(part) {
    part.failures += 1;
    part.wait = Math.min(SLOWEST, 1000 * 2 ** part.failures);
    part.classList.add("stale");
    show();
    schedule(part);
  }

  function show() {
    const why = obstacle();
    const stale = parts.some((part) => part.failures);
    if (toggle) {
      toggle.setAttribute("aria-pressed", String(isOn));
      toggle.textContent = !isOn ? "Live: off" : why ? "Live: paused" : "Live";
      toggle.title = why ? "paused: " + why : "updates every few seconds (r)";
    }
    const age = Math.round((Date.now() - updated) / 1000);
    const text = stale ? "no answer for " + age + " s" : why ? "paused: " + why : "";
    if (state.textContent !== text) state.textContent = text;
  }

  function turn() {
    isOn = !isOn;
    try { localStorage.setItem("resqued-live", isOn ? "on" : "off"); } catch { /* this page */ }
    show();
  }

  for (const name of ["keydown", "pointerdown", "scroll"]) {
    addEventListener(name, () => { lastInput = Date.now(); }, { passive: true });
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) for (const part of parts) { part.wait = 200; schedule(part); }
  });
  document.addEventListener("change", show);
  if (toggle) { toggle.hidden = false; toggle.addEventListener("click", turn); }
  document.addEventListener("resqued:live", turn);
  show();
})();

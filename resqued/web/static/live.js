// Live parts: each [data-live] asks for itself when it is due. A part waits while the
// tab is hidden, a box of the page is ticked, a dialog is open, a field has focus or text
// is selected; the frame, with the counts and banners, waits for a hidden tab alone.
"use strict";
(() => {
  const parts = [...document.querySelectorAll("[data-live]")];
  const state = document.getElementById("live-state");
  const toggle = document.getElementById("live");
  const asOf = document.querySelector("#as-of time");
  const SLOWEST = 30000, IDLE_AFTER = 600000, IDLE = 10000;
  let isOn = true, lastInput = Date.now(), since = "";
  try { isOn = localStorage.getItem("resqued-live") !== "off"; } catch { /* on */ }
  if (!parts.length || !window.htmx) return;

  for (const part of parts) {
    const url = new URL(part.dataset.url || location.href, location.href);
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
      if (isPart(event.detail.ctx.response) && !obstacle(part)) return;
      event.preventDefault();
      // With the tag of a part that is not shown, the next answer would be "unchanged".
      part._htmx.ptag = "none";
    });
    part.addEventListener("htmx:after:swap", retryPage);
    part.addEventListener("htmx:error", () => failed(part));
    htmx.process(part);
    schedule(part);
  }

  // Without the tag it is a page of something else, such as the login of a proxy.
  function isPart(response) {
    return response.status === 200 && response.headers.has("HX-PTag");
  }

  function obstacle(part) {
    if (!isOn) return "off";
    if (document.hidden) return "the page is hidden";
    if (part && part.id === "frame") return "";
    const ticked = document.querySelectorAll("main input[type=checkbox][name=id]:checked").length;
    if (ticked) return ticked + " selected";
    if (document.querySelector("dialog[open]")) return "a dialog is open";
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
      if (obstacle(part)) { show(); schedule(part); } else { htmx.trigger(part, "due"); }
    }, Math.max(part.wait, idle));
  }

  function answered(part, ctx) {
    const response = ctx.response;
    // The session has ended: the page itself asks for a login.
    if (response && response.status === 401) { location.reload(); return; }
    if (!response || (response.status !== 304 && !isPart(response))) { failed(part); return; }
    const next = Number(response.headers.get("X-Interval"));
    part.wait = next >= 500 ? next : 2000;
    part.failures = 0;
    part.classList.remove("stale");
    if (asOf) asOf.dateTime = new Date().toISOString();
    show();
    schedule(part);
  }

  function failed(part) {
    part.failures += 1;
    part.wait = Math.min(SLOWEST, 1000 * 2 ** part.failures);
    if (part.id !== "frame") part.classList.add("stale");
    show();
    schedule(part);
  }

  // A page that could not be made for want of Redis is asked for again.
  function retryPage() {
    if (document.querySelector("main [data-retry]") && !document.getElementById("trouble")) location.reload();
  }

  function show() {
    const why = obstacle(parts.find((part) => part.id !== "frame") || parts[0]);
    const isStale = parts.some((part) => part.failures);
    if (!isStale) since = "";
    else if (!since) since = new Date().toLocaleTimeString();
    if (toggle) {
      toggle.setAttribute("aria-pressed", String(isOn));
      toggle.textContent = !isOn ? "Live: off" : why ? "Live: paused" : "Live";
      toggle.title = !isOn ? "updates are off (r)" : why ? "paused: " + why : "updates every few seconds (r)";
    }
    const text = isStale ? "No answer since " + since : why && isOn ? "Updates are paused: " + why : "";
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
    show();
    if (!document.hidden) for (const part of parts) { part.wait = 200; schedule(part); }
  });
  for (const name of ["change", "focusin", "focusout", "selectionchange"]) {
    document.addEventListener(name, () => setTimeout(show));
  }
  if (toggle) { toggle.hidden = false; toggle.addEventListener("click", turn); }
  document.addEventListener("resqued:live", turn);
  show();
})();

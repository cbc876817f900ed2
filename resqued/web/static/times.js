// Times as ages, in the zone of the reader, or in UTC, as the button says. The title has
// both zones.
"use strict";
(() => {
  const ways = ["ages", "local", "UTC"];
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const format = { dateStyle: "medium", timeStyle: "medium" };
  const local = new Intl.DateTimeFormat(undefined, format);
  const utc = new Intl.DateTimeFormat(undefined, { ...format, timeZone: "UTC" });
  const button = document.getElementById("times");
  let way = "ages";
  try { way = localStorage.getItem("resqued-times") || way; } catch { /* ages */ }
  if (!ways.includes(way)) way = "ages";

  function age(seconds) {
    const [length, unit] = units.find(([each]) => Math.abs(seconds) >= each) || units[3];
    return relative.format(-Math.round(seconds / length), unit);
  }
  function show(element) {
    const when = new Date(element.dateTime);
    if (isNaN(when)) return;
    const seconds = (Date.now() - when) / 1000;
    const isAge = way === "ages" && !element.matches("[data-absolute]") && Math.abs(seconds) < 7 * 86400;
    const inUtc = utc.format(when) + " UTC";
    const text = isAge ? age(seconds) : way === "UTC" ? inUtc : local.format(when);
    if (element.textContent !== text) element.textContent = text;
    element.title = local.format(when) + " – " + inUtc;
  }
  function showAll() { document.querySelectorAll("time[datetime]").forEach(show); }
  function next() {
    way = ways[(ways.indexOf(way) + 1) % ways.length];
    try { localStorage.setItem("resqued-times", way); } catch { /* this page */ }
    turn();
  }
  function turn() {
    if (button) button.textContent = "Times: " + way;
    showAll();
  }
  if (button) { button.hidden = false; button.addEventListener("click", next); }
  turn();
  document.addEventListener("htmx:after:swap", showAll);
  setInterval(() => { if (!document.hidden) showAll(); }, 10000);
})();

// Keys, and the theme. ? lists them; they can be switched off there (WCAG 2.1.4).
"use strict";
(() => {
  const themes = ["", "light", "dark"];
  const button = document.getElementById("theme");
  const root = document.documentElement;
  function showTheme() {
    button.textContent = "Theme: " + (root.dataset.theme || "system");
  }
  function nextTheme() {
    const next = themes[(themes.indexOf(root.dataset.theme || "") + 1) % themes.length];
    if (next) root.dataset.theme = next; else delete root.dataset.theme;
    try { localStorage.setItem("resqued-theme", next); } catch { /* this page */ }
    showTheme();
  }
  if (button) { button.hidden = false; button.addEventListener("click", nextTheme); showTheme(); }
})();

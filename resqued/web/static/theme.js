// The theme that was chosen, before anything is drawn.
"use strict";
// The menu of a narrow page opens by a script.
document.documentElement.classList.add("js");
try {
  const chosen = localStorage.getItem("resqued-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* No storage: the theme of the system. */ }

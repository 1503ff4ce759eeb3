// The New job page: choosing machines among many, and a form that is sent once.

import { Picker } from "./picker.js";

for (const box of document.querySelectorAll("[data-targets]")) new Picker(box);

// The second click of a double click must not send the form again. (The server launches a plan's token once anyway.)
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
  // Back from the next page: the browser shows this one as it was left.
  window.addEventListener("pageshow", () => delete form.dataset.sent);
}

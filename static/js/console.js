// What every page has: menus that close, hashes that copy, boxes that tick all, focus that follows a swap.

import { posted, typedIn } from "./typed.js";

/** Tell a screen reader, politely. */
export function say(text) {
  const box = document.getElementById("polite");
  if (box) box.textContent = text;
}

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.menu[open], details.pop[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(copy);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.menu[open], details.pop[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

async function copyText(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard over plain HTTP: select it instead, one key press from being copied.
    button.textContent = text;
    getSelection().selectAllChildren(button);
    return;
  }
  button.classList.add("copied");
  say(text);
  setTimeout(() => button.classList.remove("copied"), 1200);
}

// <input type=checkbox data-all="name"> ticks every box of that name in its form.
document.addEventListener("change", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || box.type !== "checkbox") return;
  const form = box.form;
  if (box.dataset.all) {
    for (const one of form.querySelectorAll(`input[name="${box.dataset.all}"]`)) one.checked = box.checked;
  }
  if (form) count(form);
});

// [data-needs-selection] of a form is off until a box is ticked; [data-selected] says how many are.
// [data-everything] stands for as many as its value says, on this page and on the others.
function count(form) {
  const all = form.querySelector("[data-everything]:checked");
  const ticked = all ? Number(all.value) : form.querySelectorAll("tbody input[type=checkbox]:checked").length;
  for (const button of form.querySelectorAll("[data-needs-selection]")) button.disabled = ticked === 0;
  for (const text of form.querySelectorAll("[data-selected]")) text.textContent = ticked || "";
}
for (const button of document.querySelectorAll("[data-needs-selection]")) count(button.form);

// Focus goes to the heading of what was swapped in, if a person asked for it; a poll never takes the focus away.
document.addEventListener("htmx:afterSwap", (event) => {
  const cause = event.detail.requestConfig?.triggeringEvent;
  if (!cause || !["click", "submit"].includes(cause.type)) return;
  const heading = event.detail.target.querySelector("h1, h2, h3") || event.detail.target;
  if (!heading.hasAttribute("tabindex")) heading.setAttribute("tabindex", "-1");
  heading.focus({ preventScroll: false });
});

// Where a form asks for the machine's name, its button waits for it.
document.addEventListener("input", (event) => {
  const wanted = event.target.dataset?.mustBe;
  if (!wanted) return;
  const button = event.target.form.querySelector("[data-guarded]");
  button.disabled = event.target.value.trim() !== wanted;
});
// Enter in that field is that button, not the first one of the form.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.dataset?.mustBe) return;
  event.preventDefault();
  const button = event.target.form.querySelector("[data-guarded]");
  if (!button.disabled) event.target.form.requestSubmit(button);
});
for (const field of document.querySelectorAll("[data-must-be]")) {
  const button = field.form.querySelector("[data-guarded]");
  if (button) button.disabled = field.value.trim() !== field.dataset.mustBe;
}

// The language needs the page anew: where something would be lost with it, that is said first. The theme does not.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.ask && (posted() || typedIn()) && !confirm(form.dataset.ask)) return event.preventDefault();
  if (!event.submitter?.dataset.themeOn) return;
  event.preventDefault();
  const wanted = event.submitter.value;
  const dark = wanted === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : wanted === "dark";
  fetch(form.action, { method: "POST", body: new FormData(form, event.submitter), redirect: "manual" });
  Object.assign(document.documentElement.dataset, { theme: wanted, bsTheme: dark ? "dark" : "light" });
  for (const button of form.querySelectorAll("[data-theme-on]")) {
    button.hidden = button.dataset.themeOn !== wanted;
    if (!button.hidden) button.focus();
  }
});

// No form is sent twice, by a double click or by Enter held down; what takes a while says so after 300 ms.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "1";
  const button = event.submitter;
  if (!button?.dataset.busy) return;
  button.setAttribute("aria-busy", "true");
  setTimeout(() => {
    button.textContent = button.dataset.busy;
    say(button.dataset.busy);
  }, 300);
});
// Coming back with the browser's button must not show it busy still.
addEventListener("pageshow", (event) => event.persisted && location.reload());

// After a refusal the focus stands at the first thing that is to be mended.
const wrong = document.querySelector("main [aria-invalid=true], main [data-wrong]");
if (wrong) {
  for (let box = wrong.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  wrong.focus();
}

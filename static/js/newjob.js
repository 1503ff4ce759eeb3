// The New job page: finding machines among many, and a form that is sent once.

for (const box of document.querySelectorAll("[data-targets]")) {
  const rows = [...box.querySelectorAll("li[data-words]")];
  const boxes = [...box.querySelectorAll("input[name=machine]")];
  const chosen = box.querySelector("[data-chosen]");
  const template = document.getElementById("target-words")?.dataset;

  const count = () => {
    const on = boxes.filter((one) => one.checked && one.value).length;
    chosen.textContent = on === 0 || !template ? "" : (on === 1 ? template.one : template.many).replace("{n}", on);
  };
  box.addEventListener("change", count);
  box.querySelector("[data-filter]")?.addEventListener("input", (event) => {
    const terms = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const words = row.dataset.words.toLowerCase();
      row.hidden = !terms.every((term) => words.includes(term));
    }
    box.querySelector("[data-nothing]").hidden = rows.some((row) => !row.hidden);
  });
  // Enter in the search box would send the form.
  box.querySelector("[data-filter]")?.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
  const tick = (on) => () => {
    for (const row of rows) {
      const one = row.querySelector("input");
      if (!row.hidden && !one.disabled) one.checked = on;
    }
    count();
  };
  box.querySelector("[data-all-shown]")?.addEventListener("click", tick(true));
  box.querySelector("[data-none]")?.addEventListener("click", tick(false));
}

// The second click of a double click must not send the form again. (The server launches a plan's token once anyway.)
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
  // Back from the next page: the browser shows this one as it was left.
  window.addEventListener("pageshow", () => delete form.dataset.sent);
}

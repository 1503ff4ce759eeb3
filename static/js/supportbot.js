// Ask the support bot; the page keeps the round trips of what was asked since it was opened.

const form = document.getElementById("ask");
const trips = [];
if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  for (const sample of document.querySelectorAll("[data-sample]")) {
    sample.addEventListener("click", () => {
      form.elements.text.value = sample.dataset.sample;
      ask();
    });
  }
  // Enter asks, Shift+Enter begins a line.
  form.elements.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}

async function ask() {
  const words = document.getElementById("words").dataset;
  const button = form.querySelector("button[type=submit]");
  const text = form.elements.text.value.trim();
  if (!text || button.disabled) return;
  button.disabled = true;
  fail("");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json",
        "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content,
      },
      body: JSON.stringify({ text, machine: form.elements.machine.value }),
    });
    const said = await answer.json();
    if (answer.ok) show(text, said, words);
    else fail([said.title, ...Object.values(said.errors ?? {}).flat(), said.mend].filter(Boolean).join(" "));
  } catch {
    fail(words.lost);
  } finally {
    button.disabled = false;
  }
}

function show(text, said, words) {
  const panel = document.getElementById("answer");
  const part = (name) => panel.querySelector(`[data-${name}]`);
  part("text").textContent = text;
  part("intent").textContent = readable(said.intent);
  part("confidence").textContent = percent(said.confidence);
  part("latency").textContent = said.latency_ms.toFixed(1);
  part("trip").textContent = said.round_trip_ms.toFixed(1);
  part("simulated").hidden = !said.simulated;
  part("where").textContent = words.where
    .replace("{machine}", said.machine)
    .replace("{release}", said.release)
    .replace("{engine}", said.engine);
  part("top").replaceChildren(...said.top.map(row));
  panel.hidden = false;
  panel.scrollIntoView({ block: "nearest" });
  trips.push(said.round_trip_ms);
  const sorted = [...trips].sort((a, b) => a - b);
  document.querySelector("[data-median]").textContent = `${sorted[Math.floor((sorted.length - 1) / 2)].toFixed(0)} ms`;
  document.querySelector("[data-asked]").textContent = words.asked.replace("{count}", trips.length);
}

function row({ label, confidence }) {
  const made = document.createElement("div");
  const name = document.createElement("dt");
  name.textContent = readable(label);
  const bar = document.createElement("progress");
  bar.className = "bar";
  bar.max = 1;
  bar.value = confidence;
  bar.setAttribute("aria-hidden", "true");
  const share = document.createElement("dd");
  share.className = "num";
  share.textContent = percent(confidence);
  made.append(name, bar, share);
  return made;
}

function fail(text) {
  const box = document.getElementById("ask-failure");
  box.replaceChildren();
  if (!text) return;
  const line = document.createElement("p");
  line.className = "form-error";
  line.textContent = text;
  box.append(line);
}

function readable(label) {
  const words = label.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function percent(share) {
  return `${(share * 100).toFixed(1)} %`;
}

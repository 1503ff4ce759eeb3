// The Machine page: fresh when this machine or a job changes; live charts of its NPUs.
import { keepFresh } from "./live.js";
import { charts } from "./telemetry/charts.js";

const name = document.querySelector("[data-machine]").dataset.machine;

export const page = keepFresh({
  socketUrl: "/ws/fleet",
  wants: (frame) => frame.type === "job" || frame.type === "alert" || (frame.type === "machine" && frame.machine === name),
});

const box = () => document.getElementById("npu-charts");
if (box()) charts(box(), name);
// A driver that was just installed lists its NPUs for the first time.
document.addEventListener("fresh", ({ target }) => {
  if (target.id !== "npus" || !box()) return;
  delete target.dataset.live;
  charts(box(), name);
});

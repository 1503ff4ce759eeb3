// Overview and Machines: fresh whenever the fleet says that something changed.
import { keepFresh } from "./live.js";

let lastReadings = 0;

keepFresh({
  socketUrl: "/ws/fleet",
  wants: (frame) => {
    if (frame.type !== "telemetry") return true;
    // Readings come every two seconds for each machine; the map is drawn again at most every four.
    if (Date.now() - lastReadings < 4_000 || !document.getElementById("fleet-map")) return false;
    lastReadings = Date.now();
    return true;
  },
});

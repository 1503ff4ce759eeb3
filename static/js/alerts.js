// Alerts: taken again when one was opened, ended or acknowledged, or a job, perhaps its remedy, began or ended.
import { keepFresh } from "./live.js";

keepFresh({ socketUrl: "/ws/fleet", wants: (frame) => frame.type === "alert" || frame.type === "job" });

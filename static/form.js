// What forms do better with a script: each page works without it, and nothing on the page moves when it comes.
(() => {
  const HELD = 10_000; // ms, as long as the site itself waits; who presses again after that means it

  function sentOnce(form) {
    let sent = -Infinity;
    form.addEventListener("submit", (event) => {
      if (event.timeStamp - sent < HELD) return event.preventDefault();
      sent = event.timeStamp;
      form.setAttribute("aria-busy", "true");
    });
    addEventListener("pageshow", ({ persisted }) => {
      if (!persisted) return;
      sent = -Infinity; // the page came back by the Back button, as it was left
      form.removeAttribute("aria-busy");
    });
  }

  function shownOnWish(button) {
    const field = button.form.elements[button.getAttribute("aria-controls")];
    const show = (shown) => {
      field.type = shown ? "text" : "password";
      button.setAttribute("aria-pressed", shown);
    };
    button.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps focus and keyboard
    button.addEventListener("click", () => show(field.type === "password"));
    button.parentElement.addEventListener("focusout", (event) => {
      if (!button.parentElement.contains(event.relatedTarget)) show(false);
    });
    button.form.addEventListener("submit", () => show(false)); // or browsers would keep it as any other text
    addEventListener("pagehide", () => show(false));
    button.hidden = false;
  }

  function toldOfCapsLock(hint) {
    const tell = (event) => {
      const isOn = event.type !== "blur" && event.getModifierState?.("CapsLock");
      const words = isOn ? hint.dataset.words : "";
      if (hint.textContent !== words) hint.textContent = words; // or it would be read out with each letter
    };
    const field = hint.parentElement.querySelector("input");
    for (const type of ["keydown", "keyup", "pointerdown", "blur"]) field.addEventListener(type, tell);
  }

  function countedDown(timer) {
    const sentence = timer.parentElement;
    const until = Date.now() + timer.dataset.seconds * 1000;
    const words = (count, unit) =>
      new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "long" }).format(count);
    const duration = (seconds) => {
      const [minutes, hours] = [Math.ceil(seconds / 60), Math.ceil(seconds / 3600)];
      return seconds < 60 ? words(seconds, "second") : minutes < 100 ? words(minutes, "minute") : words(hours, "hour");
    };
    const clock = setInterval(() => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left > 0) {
        timer.textContent = duration(left);
      } else {
        clearInterval(clock);
        sentence.textContent = sentence.dataset.over; // inside an alert: it is read out
      }
    }, 1000);
  }

  document.querySelectorAll("form").forEach(sentOnce);
  document.querySelectorAll(".reveal").forEach(shownOnWish);
  document.querySelectorAll(".caps").forEach(toldOfCapsLock);
  document.querySelectorAll("[role=timer]").forEach(countedDown);
})();

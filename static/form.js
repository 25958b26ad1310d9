// Enhances forms. Every page works without this script, and enhancing a form moves nothing on the page.
(() => {
  const SUBMIT_LOCK_MS = 3_000; // a double click; a later submit is deliberate

  function preventDoubleSubmit(form) {
    let submittedAt = -Infinity;
    form.addEventListener("submit", (event) => {
      if (event.timeStamp - submittedAt < SUBMIT_LOCK_MS) return event.preventDefault();
      submittedAt = event.timeStamp;
      form.setAttribute("aria-busy", "true");
    });
    addEventListener("pageshow", ({ persisted }) => {
      if (!persisted) return;
      submittedAt = -Infinity; // the browser restored the page from the back/forward cache
      form.removeAttribute("aria-busy");
    });
  }

  function passwordToggle(button) {
    const field = button.form.elements[button.getAttribute("aria-controls")];
    const setVisible = (visible) => {
      field.type = visible ? "text" : "password";
      button.setAttribute("aria-pressed", visible);
    };
    button.addEventListener("pointerdown", (event) => event.preventDefault()); // keep the focus in the field
    button.addEventListener("click", () => setVisible(field.type === "password"));
    button.parentElement.addEventListener("focusout", (event) => {
      if (!button.parentElement.contains(event.relatedTarget)) setVisible(false);
    });
    button.form.addEventListener("submit", () => setVisible(false)); // browsers save the value of a text field
    addEventListener("pagehide", () => setVisible(false));
    button.hidden = false;
  }

  function capsLockHint(hint) {
    const update = (event) => {
      const isOn = event.type !== "blur" && event.getModifierState?.("CapsLock");
      const message = isOn ? hint.dataset.message : "";
      // Set only on change: a live region is announced each time that its text is set.
      if (hint.textContent !== message) hint.textContent = message;
    };
    const field = hint.parentElement.querySelector("input");
    for (const type of ["keydown", "keyup", "pointerdown", "blur"]) field.addEventListener(type, update);
  }

  function countdown(timer) {
    const sentence = timer.parentElement;
    const endsAt = Date.now() + timer.dataset.seconds * 1000;
    const format = (count, unit) =>
      new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "long" }).format(count);
    // Same rounding as format_duration() in web/locale.py.
    const formatDuration = (seconds) => {
      const [minutes, hours] = [Math.ceil(seconds / 60), Math.ceil(seconds / 3600)];
      if (seconds < 60) return format(seconds, "second");
      return minutes < 100 ? format(minutes, "minute") : format(hours, "hour");
    };
    const interval = setInterval(() => {
      const seconds = Math.ceil((endsAt - Date.now()) / 1000);
      if (seconds > 0) {
        timer.textContent = formatDuration(seconds);
      } else {
        clearInterval(interval);
        sentence.textContent = sentence.dataset.doneMessage; // inside role="alert", so it is announced
      }
    }, 1000);
  }

  // Without this, only its button closes the list of languages.
  function closeOnLeave(list) {
    const close = () => list.removeAttribute("open");
    document.addEventListener("click", ({ target }) => list.contains(target) || close());
    list.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape" || !list.open) return;
      close();
      list.querySelector("summary").focus();
    });
    addEventListener("pageshow", ({ persisted }) => persisted && close());
  }

  document.querySelectorAll("form").forEach(preventDoubleSubmit);
  document.querySelectorAll(".password-toggle").forEach(passwordToggle);
  document.querySelectorAll(".caps-lock-hint").forEach(capsLockHint);
  document.querySelectorAll("[role=timer]").forEach(countdown);
  document.querySelectorAll(".languages details").forEach(closeOnLeave);
})();

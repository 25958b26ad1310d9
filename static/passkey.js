// Signs in with a passkey, and adds one (Web Authentication Level 3). Every other way to sign in works without this
// script: its forms are hidden until it runs in a browser that has passkeys.
(() => {
  if (!window.PublicKeyCredential || !navigator.credentials) return;

  const RENEW_MS = 240_000; // backends keep their options for some five minutes

  const toBytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));
  const toText = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  function parseOptions(options, isNew) {
    const parse = isNew ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
    if (PublicKeyCredential[parse]) return PublicKeyCredential[parse](options);
    const withBytes = (list) => list?.map((item) => ({ ...item, id: toBytes(item.id) }));
    return {
      ...options,
      challenge: toBytes(options.challenge),
      ...(options.user && { user: { ...options.user, id: toBytes(options.user.id) } }),
      ...(options.allowCredentials && { allowCredentials: withBytes(options.allowCredentials) }),
      ...(options.excludeCredentials && { excludeCredentials: withBytes(options.excludeCredentials) }),
    };
  }

  function toJson(credential) {
    try {
      return credential.toJSON();
    } catch {} // older browsers, and some password managers, do not have it
    const response = {};
    for (const name of ["clientDataJSON", "authenticatorData", "signature", "userHandle", "attestationObject"]) {
      if (credential.response[name]) response[name] = toText(credential.response[name]);
    }
    const transports = credential.response.getTransports?.();
    return {
      id: credential.id,
      rawId: toText(credential.rawId),
      type: credential.type,
      response: { ...response, ...(transports && { transports }) },
      clientExtensionResults: credential.getClientExtensionResults(),
      ...(credential.authenticatorAttachment && { authenticatorAttachment: credential.authenticatorAttachment }),
    };
  }

  class Refused extends Error {}

  async function fetchOptions(form, isNew, signal) {
    const { csrfToken, password } = form.elements;
    const response = await fetch(form.dataset.options, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ csrfToken: csrfToken.value, password: password?.value }),
      signal,
    });
    const answer = await response.json();
    if (!response.ok) throw Object.assign(new Refused(answer.message), { url: answer.url });
    return parseOptions(answer.publicKey, isNew);
  }

  function enhance(form) {
    const { kind } = form.dataset;
    const message = form.querySelector("[role=alert]");
    const { exists, failed } = message.dataset;
    const button = form.querySelector("[data-ask]");
    function say(text) {
      const paragraph = Object.assign(document.createElement("p"), { className: "field-error", textContent: text });
      message.replaceChildren(...(text ? [paragraph] : []));
    }
    const isBusy = () => button.hasAttribute("aria-busy");
    let askedAt = 0;
    let waiting = null; // the request of this page that the browser has not answered yet

    async function ask(mediation) {
      waiting?.abort();
      askedAt = Date.now();
      const { signal } = (waiting = new AbortController());
      const publicKey = await fetchOptions(form, kind === "create", signal);
      const credential = await (kind === "create"
        ? navigator.credentials.create({ publicKey, signal })
        : navigator.credentials.get({ publicKey, signal, ...(mediation && { mediation }) }));
      form.elements.credential.value = JSON.stringify(toJson(credential));
      if (form.elements.password) form.elements.password.disabled = true; // it has been checked
      form.elements.rememberMe.value = document.getElementById("rememberMe")?.checked ? "1" : "";
      form.requestSubmit();
    }

    // Offers passkeys among the suggestions of the field for the identifier.
    async function suggest() {
      if (kind !== "suggest" || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
      ask("conditional").catch(() => {}); // nobody has asked for it: the button says what is wrong
    }

    function show(error) {
      // The person has cancelled, or has chosen another way.
      if (error.name === "NotAllowedError" || error.name === "AbortError") return suggest();
      if (error.url) return location.assign(error.url);
      const isKnown = error.name === "InvalidStateError";
      say(isKnown ? exists : (error instanceof Refused && error.message) || failed);
      return suggest();
    }

    button.addEventListener("click", async () => {
      if (isBusy()) return; // a double click
      say("");
      button.setAttribute("aria-busy", "true");
      await ask().catch(show);
      button.removeAttribute("aria-busy");
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target.localName !== "input") return;
      event.preventDefault(); // the form is sent with the browser's answer only
      button.click();
    });
    addEventListener("pageshow", ({ persisted }) => {
      if (!persisted) return;
      if (form.elements.password) form.elements.password.disabled = false;
      form.elements.credential.value = ""; // the browser restored the page from the back/forward cache
      suggest();
    });
    // Not at once: the browser's own dialog, or an app that has the passkey, may have hidden the page.
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && !isBusy() && Date.now() - askedAt > RENEW_MS) suggest();
    });
    form.hidden = false;
    for (const notice of document.querySelectorAll("[data-without-passkeys]")) notice.hidden = true;
    suggest();
  }

  document.querySelectorAll(".passkey-form").forEach(enhance);
})();

// Reloads the page when the session changed in another tab, or while this tab was hidden.
// Tabs notify each other with the localStorage message of next-auth/react, so pages that use next-auth/react
// receive our messages and we receive theirs. Without this script, the page stays as it was rendered.
(() => {
  const MESSAGE_KEY = "nextauth.message";
  const RELOADED_KEY = "munjigi.reloaded";
  const FIELDS = ["id", "name", "nick_name", "email"];
  const { session, user } = document.currentScript.dataset;
  const renderedUser = JSON.parse(user);

  const hasUnsavedInput = () =>
    [...document.querySelectorAll("input")].some((field) => field.value !== field.defaultValue);

  async function reloadIfChanged() {
    const response = await fetch(session);
    if (!response.ok) return;
    const { user = null } = await response.json();
    const isSame = (field) => user?.[field] === renderedUser?.[field];
    if (FIELDS.every(isSame) || (isSame("id") && hasUnsavedInput())) return;
    // The sign-in page of somebody who has signed in in another tab leads on.
    const callbackUrl = user && !renderedUser && document.querySelector("form [name=callbackUrl]")?.value;
    const url = new URL(callbackUrl || location.href);
    if (!callbackUrl) {
      url.searchParams.delete("error"); // with an error, the sign-in page does not redirect a signed-in user
      url.hash = "";
    }
    sessionStorage.setItem(RELOADED_KEY, "");
    location.replace(url);
  }

  const reloadIf = (condition) => condition && reloadIfChanged().catch(() => {}); // offline: keep the page

  addEventListener("storage", ({ key, newValue }) => reloadIf(key === MESSAGE_KEY && newValue));
  addEventListener("pageshow", ({ persisted }) => reloadIf(persisted));
  document.addEventListener("visibilitychange", () => reloadIf(document.visibilityState === "visible"));

  function notifyOtherTabs() {
    const wasReloaded = sessionStorage.getItem(RELOADED_KEY) !== null;
    sessionStorage.removeItem(RELOADED_KEY);
    if (wasReloaded) return; // two tabs that disagree would otherwise reload each other forever
    const message = { event: "session", data: { trigger: "getSession" }, timestamp: Date.now() / 1000 };
    localStorage.setItem(MESSAGE_KEY, JSON.stringify(message));
  }

  try {
    notifyOtherTabs();
  } catch {} // the browser may block storage
})();

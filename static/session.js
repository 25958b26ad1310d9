// Keeps a page true when the session changes elsewhere: in another tab, or while this one was out of sight.
// Tabs tell each other by NextAuth's message in localStorage, so pages with next-auth/react hear ours, and we theirs.
// Without this script a page is as it was when it was opened.
(() => {
  const MESSAGE = "nextauth.message";
  const FOLLOWED = "munjigi.followed";
  const FIELDS = ["id", "name", "nick_name", "email"];
  const { session, user } = document.currentScript.dataset;
  const shown = JSON.parse(user);

  const typed = () => [...document.querySelectorAll("input")].some((field) => field.value !== field.defaultValue);

  async function follow() {
    const response = await fetch(session);
    if (!response.ok) return;
    const { user = null } = await response.json();
    const isSame = (field) => user?.[field] === shown?.[field];
    if (FIELDS.every(isSame) || (isSame("id") && typed())) return;
    const address = new URL(location.href);
    address.searchParams.delete("error"); // it was told, and would keep a person who is now signed in
    address.hash = "";
    sessionStorage.setItem(FOLLOWED, "");
    location.replace(address);
  }

  const followIf = (isTold) => isTold && follow().catch(() => {}); // no network: the next request will show it

  addEventListener("storage", ({ key, newValue }) => followIf(key === MESSAGE && newValue));
  addEventListener("pageshow", ({ persisted }) => followIf(persisted));
  document.addEventListener("visibilitychange", () => followIf(document.visibilityState === "visible"));

  function tell() {
    const followed = sessionStorage.getItem(FOLLOWED) !== null;
    sessionStorage.removeItem(FOLLOWED);
    if (followed) return; // or two tabs that disagree would send each other round for ever
    const message = { event: "session", data: { trigger: "getSession" }, timestamp: Date.now() / 1000 };
    localStorage.setItem(MESSAGE, JSON.stringify(message));
  }

  try {
    tell();
  } catch {} // a browser may forbid storage
})();

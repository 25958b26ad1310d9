// The page has no token. It calls its own origin; the proxy adds the token to what it passes on to the API.

const find = id => document.getElementById(id);

/** Return the JSON of the answer. Without a session, go to the sign-in page, which leads back here. */
async function call(path, options) {
  const response = await fetch(path, options);
  if (response.status === 401) {
    location.assign("/auth/login/email?callbackUrl=" + encodeURIComponent(location.href));
    return new Promise(() => {}); // the page is about to be left
  }
  if (!response.ok) throw new Error(`${path} answers ${response.status}`);
  return response.json();
}

function show({ notes }) {
  find("notes").replaceChildren(...notes.map(note => {
    const item = document.createElement("li");
    item.textContent = note;
    return item;
  }));
}

async function start() {
  show(await call("/api/notes"));
  const { user } = await call("/api/auth/session");
  find("name").textContent = user?.name ?? "you";
  document.querySelector("main").hidden = false;
}

async function add(event) {
  event.preventDefault();
  const form = event.target;
  show(await call("/api/notes", { method: "POST", body: form.text.value }));
  form.reset();
}

async function signOut() {
  const { csrfToken } = await call("/api/auth/csrf");
  const body = new URLSearchParams({ csrfToken, json: "true", callbackUrl: location.href });
  await call("/api/auth/signout", { method: "POST", body });
  location.reload();
}

const orShow = action => (...values) => action(...values).catch(error => { find("error").textContent = error.message; });

find("add").addEventListener("submit", orShow(add));
find("sign-out").addEventListener("click", orShow(signOut));
orShow(start)();

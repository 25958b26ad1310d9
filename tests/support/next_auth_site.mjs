// A site with the unmodified next-auth 4.24.15, set up as Munjigi is: what test_next_auth_alike.py holds ours against.
// Around it is what Next.js's pages router gives a handler, and no more. Prints its address when it listens.

import { createServer } from "node:http";
import { parse as parseForm } from "node:querystring";

import { parse as parseCookies } from "cookie";
import nextAuth from "next-auth";
import credentials from "next-auth/providers/credentials";
import github from "next-auth/providers/github";

const API = "/api/auth/";
const { BACKEND_URL, NEXTAUTH_SECRET } = process.env;

async function asked(path, { bearer, body, method = "POST" }) {
  const headers = { "Content-Type": "application/json", ...(bearer && { Authorization: `Bearer ${bearer}` }) };
  const answer = await fetch(BACKEND_URL + path, { method, headers, body: body && JSON.stringify(body) });
  return answer.ok ? (await answer.json()).data : null;
}

async function authorize({ email, password }) {
  const bearer = (await asked("/login", { body: { email, password } }))?.token.plainTextToken;
  const user = bearer && (await asked("/user", { bearer }))?.user;
  return user ? { id: user.id, name: user.name, nick_name: user.nick_name, email: user.email, bearer } : null;
}

const options = {
  secret: NEXTAUTH_SECRET,
  providers: [
    credentials.default({ id: "email", name: "E-mail", credentials: { email: {}, password: {} }, authorize }),
    github.default({ clientId: "the-client", clientSecret: "the-secret" }),
  ],
  pages: { signIn: "/auth/login/email", signOut: "/auth/logout", error: "/auth/login/email" },
  callbacks: {
    jwt({ token, user, trigger, session }) {
      if (user) {
        const { bearer, ...person } = user;
        return { ...token, accessToken: bearer, user: person };
      }
      if (trigger !== "update") return token;
      const names = ["name", "nick_name"].filter((name) => typeof session?.[name] === "string");
      return { ...token, user: { ...token.user, ...Object.fromEntries(names.map((name) => [name, session[name]])) } };
    },
    session: ({ session, token }) => ({ user: token.user, expires: session.expires }),
  },
  logger: { error() {}, warn() {}, debug() {} },
};

async function bodyOf(request) {
  let raw = "";
  for await (const piece of request.setEncoding("utf-8")) raw += piece;
  const type = request.headers["content-type"]?.split(";")[0];
  if (type === "application/json") return raw ? JSON.parse(raw) : {};
  return type === "application/x-www-form-urlencoded" ? parseForm(raw) : raw;
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, process.env.NEXTAUTH_URL);
  response.status = (status) => Object.assign(response, { statusCode: status });
  response.send = (body) => {
    if (typeof body !== "object") return response.end(body);
    response.setHeader("Content-Type", "application/json; charset=utf-8");
    response.end(JSON.stringify(body));
  };
  response.json = response.send;
  if (!url.pathname.startsWith(API)) return response.status(404).send("This page could not be found");
  request.cookies = parseCookies(request.headers.cookie ?? "");
  request.query = { ...parseForm(url.search.slice(1)), nextauth: url.pathname.slice(API.length).split("/") };
  try {
    request.body = await bodyOf(request);
  } catch {
    return response.status(400).send("Invalid JSON");
  }
  try {
    await nextAuth.default(request, response, options);
  } catch {
    response.status(500).send("Internal Server Error");
  }
});

server.listen(0, "localhost", () => {
  process.env.NEXTAUTH_URL = `http://localhost:${server.address().port}`;
  console.log(process.env.NEXTAUTH_URL);
});

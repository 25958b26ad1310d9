// An app with the unmodified `withAuth` of next-auth 4 in front of Munjigi, at one origin, as behind one proxy: /admin
// admits one account only, everything else below /api/auth, /auth and / is Munjigi's. Prints its address when it listens.
// Of Next.js there is only what `withAuth` uses: `NextResponse.redirect` (a 307) and `request.nextUrl`.

import { createServer, request as send } from "node:http";
import { createRequire, Module } from "node:module";

const { ADMITTED, MUNJIGI_PORT, PORT, SIGN_IN_PAGE } = process.env;
const require = createRequire(import.meta.url);
const stubs = { "next/server": { NextResponse: { redirect: (url) => Response.redirect(url, 307) } } };
const load = Module._load;
Module._load = (name, ...rest) => stubs[name] ?? load(name, ...rest);
const { withAuth } = require("next-auth/middleware");

const options = { callbacks: { authorized: ({ token }) => token?.user?.email === ADMITTED } };
const middleware = withAuth(SIGN_IN_PAGE ? { ...options, pages: { signIn: SIGN_IN_PAGE } } : options);

function cookiesOf(header = "") {
  const pairs = header.split("; ").map((pair) => [pair.split("=")[0], pair.slice(pair.indexOf("=") + 1)]);
  return Object.fromEntries(pairs);
}

function forward(request, response) {
  const { method, url: path, headers } = request;
  const upstream = send({ host: "localhost", port: MUNJIGI_PORT, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(response);
  });
  request.pipe(upstream);
}

createServer(async (request, response) => {
  const { pathname, search, origin } = new URL(request.url, `http://localhost:${PORT}`);
  if (pathname !== "/admin") return forward(request, response);
  const nextUrl = { pathname, search, origin, basePath: "" };
  const answer = await middleware({ nextUrl, headers: new Headers(request.headers), cookies: cookiesOf(request.headers.cookie) });
  if (answer) return response.writeHead(answer.status, { Location: answer.headers.get("Location") }).end();
  response.writeHead(200, { "Content-Type": "text/html" });
  response.end('<!doctype html><html lang="en"><title>Admin</title><link rel="icon" href="data:,"><h1>Admin</h1>');
}).listen(PORT, "localhost", () => console.log(`http://localhost:${PORT}`));

const munjigi = process.env.MUNJIGI_URL;
if (!munjigi) throw new Error("MUNJIGI_URL is not set: where the Next server finds Munjigi");

/** @type {import("next").NextConfig} */
export default {
  // The browser knows one site: pages and style sheets of the sign-in are under /auth, NextAuth's addresses under /api/auth.
  rewrites: async () => [
    { source: "/auth/:path*", destination: `${munjigi}/auth/:path*` },
    { source: "/api/auth/:path*", destination: `${munjigi}/api/auth/:path*` },
  ],
};

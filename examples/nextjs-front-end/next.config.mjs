const munjigi = process.env.MUNJIGI_URL;
if (!munjigi) throw new Error("MUNJIGI_URL is not set: the URL of Munjigi for the Next.js server");

/** @type {import("next").NextConfig} */
export default {
  // Same origin for the browser: the sign-in pages and their assets are under /auth, NextAuth's URLs under /api/auth.
  rewrites: async () => [
    { source: "/auth/:path*", destination: `${munjigi}/auth/:path*` },
    { source: "/api/auth/:path*", destination: `${munjigi}/api/auth/:path*` },
  ],
};

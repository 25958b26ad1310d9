// The measured set-up: an email form and three providers, with a backend that owns the users.
// Do not copy it. It keeps the mistakes that docs/moving-from-nextauth.md lists, because they are part of the cost of
// such a site.
import AppleProvider from "next-auth/providers/apple";
import CredentialsProvider from "next-auth/providers/credentials";
import GoogleProvider from "next-auth/providers/google";
import KakaoProvider from "next-auth/providers/kakao";

const SOCIAL = ["kakao", "apple", "google"];

async function post(path, body, token) {
  const response = await fetch(process.env.BACKEND_URL + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
    body: body && JSON.stringify(body),
  });
  return [response.ok, await response.json()];
}

async function fetchUser(token) {
  const [ok, { data }] = await post("/user", undefined, token);
  return ok && data.user ? data.user : null;
}

async function authorize(credentials) {
  const [ok, body] = await post("/login", credentials);
  const accessToken = ok && body?.data.token.plainTextToken;
  const user = accessToken && (await fetchUser(accessToken));
  return user ? { ...user, accessToken } : null;
}

async function exchangeToken(token) {
  const { provider, id_token, email } = token.user;
  const credentials = provider === "apple" ? { social_token: id_token, email } : { social_token: token.accessToken };
  const [ok, body] = await post(`/login/social/callback/${provider}`, credentials);
  if (!ok) return token;
  const accessToken = body.data.token.plainTextToken;
  return { ...token, accessToken, user: (await fetchUser(accessToken)) ?? token.user };
}

const callbacks = {
  async jwt({ token, user, trigger, session }) {
    if (trigger === "update") Object.assign(token.user, session);
    if (SOCIAL.includes(token.user?.provider)) return exchangeToken(token);
    return user ? { ...token, accessToken: user.accessToken, user } : token;
  },
  async session({ session, token }) {
    return { ...session, user: token.user, accessToken: token.accessToken };
  },
};

export const authOptions = {
  secret: process.env.NEXTAUTH_SECRET,
  session: { strategy: "jwt", maxAge: 30 * 24 * 60 * 60 },
  pages: { signIn: "/auth/login/email", error: "/auth/login/email" },
  cookies: {
    pkceCodeVerifier: {
      name: "next-auth.pkce.code_verifier", // Apple's callback is a cross-site POST
      options: { httpOnly: true, sameSite: "none", path: "/", secure: true },
    },
  },
  providers: [
    CredentialsProvider({ credentials: { email: { type: "email" }, password: { type: "password" } }, authorize }),
    KakaoProvider({
      clientId: process.env.KAKAO_CLIENT_ID,
      clientSecret: process.env.KAKAO_CLIENT_SECRET,
      profile: (profile) => ({ ...profile, provider: "kakao" }),
    }),
    AppleProvider({
      clientId: process.env.APPLE_CLIENT_ID,
      clientSecret: process.env.APPLE_CLIENT_SECRET,
      profile: (profile, tokens) => ({ ...tokens, id: profile.email, email: profile.email, provider: "apple" }),
    }),
    GoogleProvider({
      clientId: process.env.GOOGLE_CLIENT_ID,
      clientSecret: process.env.GOOGLE_CLIENT_SECRET,
      profile: (profile) => ({ id: "google", name: profile.name, email: profile.email, provider: "google" }),
    }),
  ],
  callbacks,
};

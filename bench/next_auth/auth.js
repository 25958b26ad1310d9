// The next-auth site that is measured: an email form and three providers in front of a backend that stores the users.
// It follows a common tutorial, including its mistakes, because they are part of the work of each request. Do not copy it.
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

async function personOf(token) {
  const [ok, { data }] = await post("/user", undefined, token);
  return ok && data.user ? data.user : null;
}

async function authorize(credentials) {
  const [ok, answer] = await post("/login", credentials);
  const accessToken = ok && answer?.data.token.plainTextToken;
  const user = accessToken && (await personOf(accessToken));
  return user ? { ...user, accessToken } : null;
}

async function exchanged(token) {
  const { provider, id_token, email } = token.user;
  const proof = provider === "apple" ? { social_token: id_token, email } : { social_token: token.accessToken };
  const [ok, answer] = await post(`/login/social/callback/${provider}`, proof);
  if (!ok) return token;
  const accessToken = answer.data.token.plainTextToken;
  return { ...token, accessToken, user: (await personOf(accessToken)) ?? token.user };
}

const callbacks = {
  async jwt({ token, user, trigger, session }) {
    if (trigger === "update") Object.assign(token.user, session);
    if (SOCIAL.includes(token.user?.provider)) return exchanged(token);
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
      name: "next-auth.pkce.code_verifier", // Apple comes back by a POST from another site
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

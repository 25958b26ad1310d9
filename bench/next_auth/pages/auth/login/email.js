import Head from "next/head";
import { useRouter } from "next/router";
import { getCsrfToken, signIn } from "next-auth/react";
import { useState } from "react";

const PROVIDERS = [
  ["kakao", "카카오로 로그인"],
  ["apple", "Apple로 로그인"],
  ["google", "Google로 로그인"],
];

// The CSRF token is in the page, as in next-auth's documentation of custom sign-in pages: the form works without scripts.
export async function getServerSideProps(context) {
  return { props: { csrfToken: await getCsrfToken(context) } };
}

export default function SignIn({ csrfToken }) {
  const { query, push } = useRouter();
  const [problem, setProblem] = useState(query.error);

  async function submit(event) {
    event.preventDefault();
    const { email, password } = Object.fromEntries(new FormData(event.currentTarget));
    const result = await signIn("credentials", { email, password, redirect: false });
    if (result.ok) push(query.callbackUrl ?? "/");
    else setProblem(result.error);
  }

  return (
    <main>
      <Head>
        <title>로그인</title>
        <meta name="viewport" content="width=device-width, initial-scale=1" />
      </Head>
      <h1>로그인</h1>
      {problem && <p role="alert">이메일 또는 비밀번호가 올바르지 않습니다.</p>}
      <form method="post" action="/api/auth/callback/credentials" onSubmit={submit}>
        <input type="hidden" name="csrfToken" defaultValue={csrfToken} />
        <label htmlFor="email">이메일</label>
        <input id="email" name="email" type="email" autoComplete="username" required />
        <label htmlFor="password">비밀번호</label>
        <input id="password" name="password" type="password" autoComplete="current-password" required />
        <button>로그인</button>
      </form>
      {PROVIDERS.map(([id, label]) => (
        <button key={id} type="button" className={id} onClick={() => signIn(id, { callbackUrl: query.callbackUrl })}>
          {label}
        </button>
      ))}
    </main>
  );
}

import { type ClientSafeProvider, getProviders, signIn } from "next-auth/react";
import { type FormEvent, useEffect, useState } from "react";

export default function SignIn() {
  const [wrong, setWrong] = useState(false);
  const [providers, setProviders] = useState<ClientSafeProvider[]>([]);

  useEffect(() => {
    getProviders().then((found) => setProviders(Object.values(found ?? {}).filter(({ type }) => type === "oauth")));
  }, []);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.currentTarget));
    const error = (await signIn("email", { ...fields, redirect: false }))?.error;
    setWrong(error === "CredentialsSignin");
    // The sign-in page has a message for each other error.
    if (error && error !== "CredentialsSignin") location.assign(`/auth/login/email?error=${error}`);
  }

  return (
    <>
      <h1>로그인</h1>
      <form onSubmit={submit}>
        {wrong && <p role="alert">이메일이나 비밀번호가 맞지 않습니다.</p>}
        <label>
          이메일
          <input name="email" type="email" autoComplete="username" required />
        </label>
        <label>
          비밀번호
          <input name="password" type="password" autoComplete="current-password" required />
        </label>
        <button className="main">로그인</button>
      </form>
      <h2>다른 방법</h2>
      <div className="row">
        {providers.map(({ id, name }) => (
          <button key={id} onClick={() => signIn(id)}>
            {name}
          </button>
        ))}
      </div>
      <div className="row">
        <button onClick={() => signIn()}>로그인 페이지로 가기</button>
      </div>
    </>
  );
}

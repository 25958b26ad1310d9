import type { GetServerSideProps, InferGetServerSidePropsType } from "next";
import { getToken } from "next-auth/jwt";
import Link from "next/link";

export const getServerSideProps = (async ({ req }) => {
  const token = await getToken({ req });
  // The middleware has checked the session, but check it again where data is returned.
  if (!token?.accessToken) return { redirect: { destination: "/auth/login/email?callbackUrl=/members", permanent: false } };
  const response = await fetch(`${process.env.BACKEND_URL}/user`, {
    method: "POST",
    headers: { Accept: "application/json", Authorization: `Bearer ${token.accessToken}` },
  });
  // Props are sent to the browser: return these four fields only.
  const { id, name, nick_name, email } = token.user;
  return { props: { user: { id, name, nick_name, email }, isAccepted: response.ok } };
}) satisfies GetServerSideProps;

export default function Members({ user, isAccepted }: InferGetServerSidePropsType<typeof getServerSideProps>) {
  return (
    <>
      <h1>회원 전용 페이지</h1>
      <dl>
        <dt>이름</dt>
        <dd>{user.name}</dd>
        <dt>닉네임</dt>
        <dd>{user.nick_name ?? "없음"}</dd>
        <dt>이메일</dt>
        <dd>{user.email ?? "없음"}</dd>
      </dl>
      <p role="status">
        {isAccepted ? "이 서버가 토큰으로 백엔드를 불렀고, 백엔드가 알아봅니다." : "백엔드가 이 토큰을 받지 않습니다."}
      </p>
      <Link className="button" href="/">
        처음으로
      </Link>
    </>
  );
}

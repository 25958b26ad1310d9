import type { GetServerSideProps, InferGetServerSidePropsType } from "next";
import { getToken } from "next-auth/jwt";
import Link from "next/link";

export const getServerSideProps = (async ({ req }) => {
  const token = await getToken({ req });
  // The middleware has asked already, but where data is given out there should be no way around the question.
  if (!token) return { redirect: { destination: "/auth/login/email?callbackUrl=/members", permanent: false } };
  const answer = await fetch(`${process.env.BACKEND_URL}/user`, {
    method: "POST",
    headers: { Accept: "application/json", Authorization: `Bearer ${token.accessToken}` },
  });
  // What is returned here is sent to the browser: the person, never the token.
  return { props: { user: token.user, known: answer.ok } };
}) satisfies GetServerSideProps;

export default function Members({ user, known }: InferGetServerSidePropsType<typeof getServerSideProps>) {
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
        {known ? "이 서버가 토큰으로 백엔드를 불렀고, 백엔드가 알아봅니다." : "백엔드가 이 토큰을 받지 않습니다."}
      </p>
      <Link className="button" href="/">
        처음으로
      </Link>
    </>
  );
}

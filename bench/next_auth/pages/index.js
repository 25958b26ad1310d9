import { useSession } from "next-auth/react";

export default function Home() {
  const { data: session } = useSession();
  return <p>{session ? session.user.name : "로그인하지 않았습니다."}</p>;
}

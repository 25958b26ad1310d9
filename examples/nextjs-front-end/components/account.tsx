import type { Session } from "next-auth";
import { signOut, useSession } from "next-auth/react";
import Link from "next/link";
import { type FormEvent, useState } from "react";

export default function Account({ user }: { user: Session["user"] }) {
  const { update } = useSession();
  const [note, setNote] = useState("");

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const nick_name = new FormData(event.currentTarget).get("nick_name");
    const changed = await update({ nick_name });
    setNote(changed ? "저장했습니다." : "저장하지 못했습니다.");
  }

  return (
    <>
      <h1>{user.nick_name || user.name || user.email}님, 안녕하세요</h1>
      <form onSubmit={submit}>
        {note && <p role="status">{note}</p>}
        <label>
          닉네임
          <input name="nick_name" defaultValue={user.nick_name ?? ""} maxLength={30} />
        </label>
        <button className="main">저장</button>
      </form>
      <div className="row">
        <Link className="button" href="/members">
          회원 전용 페이지
        </Link>
        <button onClick={() => signOut()}>로그아웃</button>
      </div>
    </>
  );
}

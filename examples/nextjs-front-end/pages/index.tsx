import { useSession } from "next-auth/react";

import Account from "../components/account";
import SignIn from "../components/sign-in";

export default function Home() {
  const { data: session, status } = useSession();
  // Check the data first: the status is "loading" during update() too, and the form would lose its state.
  if (session) return <Account user={session.user} />;
  return status === "loading" ? <p role="status">확인하고 있습니다…</p> : <SignIn />;
}

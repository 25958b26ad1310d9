import { SessionProvider } from "next-auth/react";

import "../style.css";

export default function App({ Component, pageProps: { session, ...props } }) {
  return (
    <SessionProvider session={session}>
      <Component {...props} />
    </SessionProvider>
  );
}

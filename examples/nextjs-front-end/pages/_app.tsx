import { SessionProvider } from "next-auth/react";
import type { AppProps } from "next/app";
import Head from "next/head";

import "../styles.css";

export default function App({ Component, pageProps }: AppProps) {
  return (
    <SessionProvider>
      <Head>
        <title>Munjigi와 Next.js</title>
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <link rel="icon" href="/auth/static/mark.svg" />
      </Head>
      <main>
        <Component {...pageProps} />
      </main>
    </SessionProvider>
  );
}

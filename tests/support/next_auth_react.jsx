// A page of somebody's Next.js front end, as far as it has to do with signing in: the unmodified client, and no more.
import { createRoot } from "react-dom/client";
import * as client from "next-auth/react";

window.client = client;

function Who({ required }) {
  const { data, status, update } = client.useSession({ required });
  window.update = update;
  return <p id="who">{status}: {data?.user?.nick_name ?? data?.user?.name ?? ""}</p>;
}

createRoot(document.getElementById("root")).render(
  <client.SessionProvider basePath={process.env.BASE_PATH}>
    <Who required={location.search === "?required"} />
  </client.SessionProvider>,
);

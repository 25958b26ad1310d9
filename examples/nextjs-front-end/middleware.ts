import { withAuth } from "next-auth/middleware";

export default withAuth({ pages: { signIn: "/auth/login/email" } });

export const config = { matcher: "/members" };

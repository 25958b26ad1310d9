import "next-auth";
import "next-auth/jwt";

interface Person {
  id: number | string;
  name: string | null;
  nick_name: string | null;
  email: string | null;
}

declare module "next-auth" {
  interface Session {
    user: Person;
  }
}

declare module "next-auth/jwt" {
  interface JWT {
    user: Person;
    /** The backend's token. It is in the encrypted cookie only: do not send it to the browser. */
    accessToken: string;
  }
}

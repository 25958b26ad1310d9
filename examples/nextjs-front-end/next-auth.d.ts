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
    /** The backend's token. Only the encrypted cookie has it: keep it on the server. */
    accessToken: string;
  }
}

import { createContext, useContext, useEffect, useState, type ReactNode } from "react";
import { api, onSignedOut, refresh, type User } from "../api/client";

interface Account {
  /** undefined while it is not known yet. */
  user: User | null | undefined;
  signedIn: (user: User) => void;
  signOut: () => Promise<void>;
}

const AccountContext = createContext<Account | null>(null);

export function AccountProvider({ children }: { children: ReactNode }) {
  const [user, setUser] = useState<User | null | undefined>(undefined);
  useEffect(() => {
    refresh().then(setUser, () => {
      setUser(null);
    });
    return onSignedOut(() => {
      setUser(null);
    });
  }, []);
  const account: Account = {
    user,
    signedIn: setUser,
    signOut: async () => {
      await api.signOut();
      setUser(null);
    },
  };
  return <AccountContext value={account}>{children}</AccountContext>;
}

export function useAccount(): Account {
  const account = useContext(AccountContext);
  if (!account) throw new Error("useAccount outside AccountProvider");
  return account;
}

import { Link } from "wouter";
import type { Address } from "../frame/address";
import { Menu } from "./Menu";
import { Named } from "./Named";

/** Lists with a name: filters and order as they stand in the address. */
export function SavedViews({ address }: { address: Address }) {
  const search = () => {
    const kept = new URLSearchParams(address.at);
    kept.delete("sel");
    return kept.toString();
  };
  return (
    <Menu label="Views">
      <Named kind="views" what="list" now={search}>
        {(name, search) => <Link href={search ? `/t?${search}` : "/t"}>{name}</Link>}
      </Named>
    </Menu>
  );
}

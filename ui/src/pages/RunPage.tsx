export function RunPage({ id }: { id: string }) {
  return <main id="main">{id}</main>;
}

import { type ReactNode, useEffect, useRef, useState } from "react";

/** A button with what it opens; closes by Escape and by a click elsewhere. */
export function Menu(props: { label: ReactNode; isWide?: boolean; children: ReactNode }) {
  const [isOpen, setOpen] = useState(false);
  const box = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const element = box.current!;
    const leave = (event: Event) => {
      if (element.open && !element.contains(event.target as Node)) element.open = false;
    };
    const escape = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !element.open) return;
      event.preventDefault();
      element.open = false;
      element.querySelector("summary")?.focus();
    };
    document.addEventListener("pointerdown", leave);
    // Before the page's own keys: this Escape is not theirs.
    document.addEventListener("keydown", escape, { capture: true });
    return () => {
      document.removeEventListener("pointerdown", leave);
      document.removeEventListener("keydown", escape, { capture: true });
    };
  }, []);
  return (
    <details
      ref={box}
      className={props.isWide ? "menu wide" : "menu"}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>{props.label}</summary>
      {isOpen && <div className="menu-body">{props.children}</div>}
    </details>
  );
}

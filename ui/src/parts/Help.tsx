import { useEffect, useRef } from "react";
import { KEYS } from "../frame/keys";

const NAMES: Readonly<Record<string, string>> = {
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
  Escape: "Esc",
};

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const keys = [...KEYS].flat();
  return (
    <dialog ref={dialog} className="help" aria-labelledby="help-title" onClose={onClose}>
      <h2 id="help-title">What keys do</h2>
      <dl>
        {keys.map((key) => (
          <div key={key.label}>
            <dt>
              {key.keys.map((one) => (
                <kbd key={one}>
                  {one
                    .split(" ")
                    .map((part) => NAMES[part] ?? part)
                    .join(" ")}
                </kbd>
              ))}
            </dt>
            <dd>{key.label}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}

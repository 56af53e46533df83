import fc from "fast-check";

// Examples are drawn alike in every run.
fc.configureGlobal({ seed: 20261121 });

import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `otel-traj serve` answers the API; `npm run dev` passes requests on to it.
const API = "http://127.0.0.1:7788";

export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/api": API } },
  build: {
    outDir: "../otel_traj/server/static",
    emptyOutDir: true,
    target: "es2023",
    // The page's security policy allows no data: scripts and no inline ones; small files stay files.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // What pages share is one file, not a dozen: a browser asks for six at a time.
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "shared", minShareCount: 2 }] } },
    },
  },
  test: {
    include: ["tests/**/*.test.ts"],
    setupFiles: ["tests/setup.ts"],
    environment: "node",
    testTimeout: 60_000,
  },
});
